// Wires the stream to the page. Events only change what is pending; drawing
// happens once per animation frame and only for the newest standings.

import { connect } from "/scorewire.js";
import { Announcer } from "./announcer.js";
import { ConnectionLine } from "./connection.js";
import { offerCopy } from "./copying.js";
import { Leaderboard } from "./leaderboard.js";
import { RateMeter } from "./rate.js";

const RESYNC_NOTICE_MS = 6000;
const RATE_SHOWN_EVERY_MS = 500;

const element = (id) => document.getElementById(id);
const leaderboard = new Leaderboard(element("standings"));
const leaderNews = new Announcer(element("leader-news"));
const connection = new ConnectionLine({ live: "Scores arrive as they happen.", connecting: "Opening the score stream." });
const meter = new RateMeter(performance.now());
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

let standings = null; // null until the first snapshot
let leader = null;
let increments = new Map(); // userId → sum since the last frame
let frameRequested = false;
let resyncTimer = null;

const onEvent = {
  snapshot: show,
  top: show,
  update({ userId, increment }) {
    meter.count(performance.now());
    // A hidden page draws no frames: highlights saved up there would be old news.
    if (document.hidden || !leaderboard.has(userId)) return;
    increments.set(userId, (increments.get(userId) ?? 0) + increment);
    requestFrame();
  },
  remove({ userId }) {
    if (standings) show(standings.filter((standing) => standing.userId !== userId));
  },
};

function reset() {
  // The rows stay until the snapshot that follows: an empty flash helps nobody.
  increments.clear();
  element("resync").hidden = false;
  clearTimeout(resyncTimer);
  resyncTimer = setTimeout(() => (element("resync").hidden = true), RESYNC_NOTICE_MS);
}

function show(newest) {
  standings = newest;
  announceLeader();
  requestFrame();
}

function requestFrame() {
  if (frameRequested) return;
  frameRequested = true;
  requestAnimationFrame(draw);
}

function draw(now) {
  frameRequested = false;
  leaderboard.render(standings);
  element("empty").hidden = standings.length > 0;
  for (const [userId, increment] of increments) leaderboard.highlight(userId, increment, now);
  increments.clear();
}

function announceLeader() {
  const names = standings.filter(({ rank }) => rank === 1).map(({ user }) => user);
  const lead = { 0: "Nobody leads.", 1: `${names[0]} leads.`, 2: `${names[0]} and ${names[1]} share the lead.` };
  const text = lead[names.length] ?? "Several users share the lead.";
  if (leader === null) leaderNews.assume(text);
  else if (text !== leader) leaderNews.say(text);
  leader = text;
}

function showConnection(state, detail) {
  connection.show(state, detail);
  const { lostSince } = connection;
  const stale = lostSince !== null && standings !== null;
  element("board").classList.toggle("old", stale);
  element("stale").hidden = !stale;
  if (stale) {
    element("stale").textContent = `These scores may be out of date: the stream was lost at ${clock.format(lostSince)}.`;
  }
}

function showRate() {
  const rate = meter.perSecond(performance.now());
  const text = rate.toLocaleString(undefined, { maximumFractionDigits: rate < 10 ? 1 : 0 });
  if (element("rate").textContent !== text) element("rate").textContent = text;
}

function offerCommands() {
  const { origin } = location;
  element("curl-line").textContent = `curl -N ${origin}/scores/stream`;
  element("create-line").textContent =
    `curl ${origin}/users -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"name":"Grace"}'`;
  offerCopy(element("copy"), element("curl-line"));
}

offerCommands();
setInterval(showRate, RATE_SHOWN_EVERY_MS);
// For tests, and where a proxy breaks one: "?transport=sse" or "?transport=websocket".
const wanted = new URLSearchParams(location.search).get("transport");
const live = connect({ transports: ["websocket", "sse"].includes(wanted) ? [wanted] : undefined });
live.onstate = showConnection;
// A fresh page names no place: a snapshot is all it needs, and a place kept from an earlier visit might be lost. What
// reconnects names the place it had, because what it missed moves rows and counts; a lost one comes back as a reset.
live.subscribe("scores", { message: ({ event, data }) => onEvent[event]?.(data), reset });
