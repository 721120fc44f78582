// Wires the feeds to the page: what they are and how they are from GET /feeds, asked every few seconds; their values
// from the stream; what was before from their histories.

import { connect } from "/scorewire.js";
import { Announcer } from "./announcer.js";
import { ConnectionLine } from "./connection.js";
import { FeedCard } from "./feed-card.js";
import { LOOK_SECONDS, MOST_POINTS } from "./series.js";

const LOOK_TIMEOUT_MS = 10_000;
const SPOKEN_EVERY_MS = 15_000; // the chart that the reader is at, as a summary

const element = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const connection = new ConnectionLine({ live: "Values arrive as they are fetched.", connecting: "Opening the stream of values." });
const news = new Announcer(element("feed-news"), SPOKEN_EVERY_MS);
const cards = new Map(); // feed's name → { card, subscription, stale }

let ahead = 0; // seconds that the server's clock is ahead of this one
let looking = false;
let lookFailedSince = null;

const serverNow = () => Date.now() / 1000 + ahead;

// For tests, and where a proxy breaks one: "?transport=sse" or "?transport=websocket".
const wanted = new URLSearchParams(location.search).get("transport");
const live = connect({ transports: ["websocket", "sse"].includes(wanted) ? [wanted] : undefined });
live.onstate = (state, detail) => connection.show(state, detail);

/** JSON of a path. This page has the address of the list: what is stored of one must not be taken for the other. */
async function json(path) {
  const request = { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) };
  const answer = await fetch(path, request);
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    const { feeds } = await json("/feeds");
    setClock(feeds);
    show(feeds);
    lookFailedSince = null;
  } catch {
    // Without looks the page does not know how the feeds are, and their ages go on growing.
    lookFailedSince ??= new Date();
  }
  looking = false;
  element("lost").hidden = lookFailedSince === null;
  if (lookFailedSince) element("lost").textContent = `The server has not said how the feeds are since ${clock.format(lookFailedSince)}.`;
  tellStates();
}

/** Ages are told by the server, so that a wrong clock here makes nothing stale. */
function setClock(feeds) {
  const feed = feeds.find(({ checkedAt, ageSeconds }) => checkedAt !== null && ageSeconds !== null);
  if (feed) ahead = Date.parse(feed.checkedAt) / 1000 + feed.ageSeconds - Date.now() / 1000;
}

function show(feeds) {
  element("empty").hidden = feeds.length > 0;
  // With nothing to follow there is no connection either.
  element("status").hidden = feeds.length === 0;
  element("feeds").dataset.count = feeds.length;
  for (const [name, { card, subscription }] of cards) {
    if (feeds.some((feed) => feed.name === name)) continue;
    subscription.close();
    card.element.remove();
    cards.delete(name);
  }
  for (const feed of feeds) {
    if (!cards.has(feed.name)) add(feed);
    cards.get(feed.name).card.look(feed);
  }
}

function add(feed) {
  const card = new FeedCard(element("card"), feed, serverNow);
  element("feeds").append(card.element);
  const subscription = live.subscribe(feed.topic, {
    // A snapshot is the latest message once more; whether it is known is told by its id.
    message: ({ id, data }) => card.message({ id, ...data }),
    // What came while the place was lost is in the history only.
    reset: () => load(feed.name, card),
  });
  cards.set(feed.name, { card, subscription, stale: undefined });
  load(feed.name, card);
}

/** After the subscription, so that between history and stream nothing is missing; what both have is told by its id. */
async function load(name, card) {
  try {
    const { messages } = await json(`/feeds/${encodeURIComponent(name)}/history?limit=${MOST_POINTS}`);
    card.history(messages);
  } catch {
    if (cards.get(name)?.card === card) setTimeout(() => load(name, card), LOOK_SECONDS * 1000);
  }
}

/**
 * Counts the feeds, and tells the ear which became stale or well. Values come too often to be read out, but for the chart
 * one is at.
 */
function tellStates() {
  const changed = [];
  let staleCards = 0;
  for (const entry of cards.values()) {
    const stale = entry.card.staleSince !== null;
    if (stale) staleCards += 1;
    if (entry.stale !== undefined && entry.stale !== stale) changed.push(entry.card.state);
    entry.stale = stale;
  }
  const count = cards.size === 1 ? "1 feed" : `${cards.size} feeds`;
  element("count").textContent = cards.size === 0 ? "" : `${count}${staleCards > 0 ? `, ${staleCards} stale` : ""}`;
  if (changed.length > 0) return news.say(changed.join(" "));
  const at = document.activeElement?.closest("[data-feed]")?.dataset.feed;
  if (cards.has(at)) news.say(cards.get(at).card.inWords);
}

function offerLines() {
  element("one-feed").textContent = "scorewire upstreams\nSOURCE_URL=http://localhost:3999/api/users/2 scorewire serve";
  element("more-feeds").textContent = `[[feeds]]
name = "btc-usd"
url = "http://localhost:3999/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD"
fetch_every = "5s"
transform = '{price: .Data["BTC-USD"].VALUE}'`;
}

offerLines();
look();
setInterval(look, LOOK_SECONDS * 1000);
document.addEventListener("visibilitychange", look);
// Ages and the end of each chart move with time.
setInterval(() => cards.forEach(({ card }) => card.redraw()), 1000);
