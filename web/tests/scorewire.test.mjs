// The client's decisions, against sockets and streams that exist in memory only. Run by `make clients`.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { connect } from "../scorewire.js";

let sockets, streams;

class FakeSocket {
  readyState = 0;
  sent = [];
  constructor(url, protocol) {
    Object.assign(this, { url: new URL(url), protocol });
    sockets.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  opens() {
    this.readyState = 1;
    this.onopen();
  }
  says(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  ends(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
}

class FakeStream extends EventTarget {
  constructor(url) {
    super();
    this.url = new URL(url);
    streams.push(this);
  }
  close() {
    this.closed = true;
  }
  says(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  tells(name, data) {
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data) }));
  }
}

beforeEach(() => {
  sockets = [];
  streams = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.restoreAll();
  mock.method(Math, "random", () => 1 - Number.EPSILON); // the longest wait each time
});

const last = (list) => list[list.length - 1];

function follow(options = {}, start) {
  const seen = [];
  const live = connect("http://scores.example", { WebSocket: FakeSocket, EventSource: FakeStream, ...options });
  live.onstate = (state, detail) => seen.push(["state", state, detail]);
  const handlers = Object.fromEntries(
    ["message", "reset", "subscribed", "error"].map((name) => [name, (what) => seen.push([name, what])]),
  );
  const subscription = live.subscribe("scores", handlers, start);
  return { live, subscription, seen, handlers, told: (name) => seen.filter(([what]) => what === name).map(([, what]) => what) };
}

const message = (id, event = "top") => ({ type: "message", topic: "scores", ...(id && { id }), event, data: [] });
const subscribed = (id, recovered = false) => ({ type: "subscribed", topic: "scores", id, recovered });

test("a connection is live with the first frame, not with the open socket", () => {
  const { live } = follow();
  assert.equal(sockets[0].url.href, "ws://scores.example/ws");
  assert.equal(sockets[0].protocol, "scorewire.v1");
  sockets[0].opens();
  assert.deepEqual(sockets[0].sent, [{ type: "subscribe", topic: "scores" }]);
  assert.equal(live.state, "connecting");
  sockets[0].says(subscribed("e:7"));
  assert.equal(live.state, "live");
});

test("after a break each topic goes on behind its own last id", () => {
  const { live } = follow();
  live.subscribe("match:1", {}, { since: 5 });
  sockets[0].opens();
  sockets[0].says(subscribed("e:7"));
  sockets[0].says(message("e:8"));
  sockets[0].ends(1006);
  assert.equal(live.state, "reconnecting");
  mock.timers.tick(500);
  sockets[1].opens();
  assert.deepEqual(sockets[1].sent, [
    { type: "subscribe", topic: "scores", last_event_id: "e:8" },
    { type: "subscribe", topic: "match:1", since: 5 },
  ]);
});

test("values of a feed are messages like any other", () => {
  const { seen } = follow();
  last(sockets).opens();
  last(sockets).says({ type: "subscribed", topic: "scores", id: "e:1", recovered: false });
  last(sockets).says({ type: "message", topic: "scores", id: "e:2", event: "value", data: { timestamp: 1, data: 2 } });
  assert.deepEqual(last(seen), ["message", { event: "value", id: "e:2", data: { timestamp: 1, data: 2 } }]);
});

test("a message without an id does not move the place", () => {
  follow();
  sockets[0].opens();
  sockets[0].says(message("e:8"));
  sockets[0].says(message(null));
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.equal(sockets[1].sent[0].last_event_id, "e:8");
});

test("a place that was only given counts once a heartbeat says that no snapshot follows", () => {
  const { told } = follow();
  sockets[0].opens();
  sockets[0].says(subscribed("e:7"));
  sockets[0].says({ type: "heartbeat" });
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.equal(sockets[1].sent[0].last_event_id, "e:7");
  assert.deepEqual(told("reset"), []);
});

test("cut off before there was a place begins anew and says so", () => {
  const { told } = follow();
  sockets[0].opens();
  sockets[0].says(subscribed("e:7"));
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.deepEqual(sockets[1].sent, [{ type: "subscribe", topic: "scores" }]);
  assert.deepEqual(told("reset"), [{ reason: "interrupted" }]);
});

test("a recovered topic stands at the place it was told: what was missed is still to come", () => {
  follow({}, { since: 5 });
  sockets[0].opens();
  assert.equal(sockets[0].sent[0].since, 5);
  sockets[0].says(subscribed("e:3", true));
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.deepEqual(sockets[1].sent, [{ type: "subscribe", topic: "scores", last_event_id: "e:3" }]);
});

test("a pong or another topic says that no snapshot follows, too", () => {
  const { live, told } = follow();
  live.subscribe("match:1", {});
  sockets[0].opens();
  sockets[0].says(subscribed("e:7"));
  assert.deepEqual(last(sockets[0].sent), { type: "ping" });
  sockets[0].says({ ...subscribed("f:2"), topic: "match:1" });
  sockets[0].says({ type: "pong" });
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.deepEqual(sockets[1].sent.map((sent) => sent.last_event_id), ["e:7", "f:2"]);
  assert.deepEqual(told("reset"), []);
});

test("a reset forgets the place until the snapshot", () => {
  const { told } = follow({}, { lastEventId: "old:3" });
  sockets[0].opens();
  sockets[0].says({ type: "reset", topic: "scores", id: "e:9", reason: "epoch-changed" });
  sockets[0].says(message("e:9", "snapshot"));
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.equal(sockets[1].sent[0].last_event_id, "e:9");
  assert.deepEqual(told("reset"), [{ reason: "epoch-changed", id: "e:9" }]);
});

test("the back-off doubles to half a minute, and begins anew after ten seconds of being live", () => {
  const { seen } = follow({ transports: ["websocket"] });
  const waits = () => seen.filter(([, state, detail]) => detail?.retryIn > 0).map(([, , { retryIn }]) => Math.round(retryIn));
  for (let n = 0; n < 8; n += 1) {
    last(sockets).ends(1006);
    mock.timers.tick(30_000);
  }
  assert.deepEqual(waits(), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  last(sockets).opens();
  last(sockets).says(subscribed("e:1"));
  mock.timers.tick(9_999);
  last(sockets).ends(1006);
  assert.equal(last(waits()), 30_000);
  mock.timers.tick(30_000);
  last(sockets).opens();
  last(sockets).says(subscribed("e:1"));
  mock.timers.tick(10_000);
  last(sockets).ends(1006);
  assert.equal(last(waits()), 500);
});

test("twenty seconds without a server are offline", () => {
  const { live } = follow({ transports: ["websocket"] });
  last(sockets).ends(1006);
  assert.equal(live.state, "reconnecting");
  mock.timers.tick(20_000);
  assert.equal(live.state, "offline");
  last(sockets).opens();
  last(sockets).says(subscribed("e:1"));
  assert.equal(live.state, "live");
});

for (const code of [1000, 1002, 1003, 1007, 1009, 4003]) {
  test(`code ${code} is obeyed: no coming back`, () => {
    const { live, seen } = follow();
    sockets[0].opens();
    sockets[0].ends(code, "why");
    assert.equal(live.state, "closed");
    assert.deepEqual(last(seen), ["state", "closed", { code, reason: "why" }]);
    mock.timers.tick(100_000);
    assert.equal(sockets.length + streams.length, 1);
  });
}

for (const code of [1001, 1006, 1013, 4000, 4002]) {
  test(`code ${code} comes back`, () => {
    follow();
    sockets[0].opens();
    sockets[0].ends(code);
    mock.timers.tick(500);
    assert.equal(sockets.length, 2);
  });
}

test("a token is asked for before each attempt, and sent in the query", async () => {
  const whys = [];
  follow({ token: async ({ reason }) => (whys.push(reason), `t${whys.length}`) });
  await Promise.resolve().then();
  assert.equal(sockets[0].url.searchParams.get("access_token"), "t1");
  sockets[0].opens();
  sockets[0].ends(4001, "reauthenticate");
  mock.timers.tick(500);
  await Promise.resolve().then();
  assert.equal(sockets[1].url.searchParams.get("access_token"), "t2");
  assert.deepEqual(whys, ["first", "reauthenticate"]);
});

test("a token that can not be asked for anew ends with its time", () => {
  const { live } = follow({ token: "fixed" });
  sockets[0].opens();
  sockets[0].ends(4001, "reauthenticate");
  assert.equal(live.state, "closed");
});

test("a token source that fails is asked again later", async () => {
  let asked = 0;
  const { live } = follow({ token: () => (asked++ ? "t" : Promise.reject(new Error("no network"))) });
  await new Promise(setImmediate);
  assert.equal(live.state, "reconnecting");
  mock.timers.tick(500);
  await new Promise(setImmediate);
  assert.equal(sockets.length, 1);
});

test("WebSocket that fails twice in a row gives way to server-sent events, with the places", () => {
  const { live, told } = follow({ every: 500, conflate: false, token: "t" }, { lastEventId: "e:3" });
  live.subscribe("match:1", {}, { since: 5 });
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].ends(1006);
  mock.timers.tick(1000);
  assert.equal(sockets.length, 2);
  // A place would overrule the time of another topic on the same stream.
  const rest = "&every=500ms&conflate=0&access_token=t";
  assert.deepEqual(streams.map(({ url }) => url.href), [
    `http://scores.example/topics/stream?topic=scores&last_event_id=scores%40e%3A3${rest}`,
    `http://scores.example/topics/stream?topic=match%3A1&since=5${rest}`,
  ]);
  streams[0].onopen();
  streams[0].says(subscribed("e:3", true));
  streams[0].says(message("e:4"));
  streams[1].says({ ...subscribed("f:2", true), topic: "match:1" });
  assert.equal(live.state, "live");
  assert.deepEqual(told("message"), [{ event: "top", id: "e:4", data: [] }]);
  // What broke after it was open is tried again, from the new place.
  streams[0].onerror();
  assert.equal(streams[0].closed, true);
  mock.timers.tick(2000);
  assert.equal(streams[1].closed, true);
  assert.equal(streams.length, 3);
  assert.equal(streams[2].url.searchParams.get("last_event_id"), "scores@e:4,match:1@f:2");
});

test("a server that was only away is found by WebSocket again", () => {
  follow();
  sockets[0].opens();
  sockets[0].says(subscribed("e:1"));
  sockets[0].ends(1001);
  mock.timers.tick(500);
  sockets[1].ends(1006);
  mock.timers.tick(1000);
  sockets[2].ends(1006);
  mock.timers.tick(2000);
  streams[0].onopen();
  streams[0].says(subscribed("e:1"));
  streams[0].onerror();
  mock.timers.tick(4000);
  assert.equal(sockets.length, 4);
});

test("an attempt that nobody answers is given up", () => {
  follow();
  mock.timers.tick(10_000);
  assert.equal(sockets[0].readyState, 3);
  mock.timers.tick(500);
  assert.equal(sockets.length, 2);
});

test("a socket without a sign of life is given up, heartbeats keep it", () => {
  const { seen } = follow();
  sockets[0].opens();
  sockets[0].says(subscribed("e:1"));
  mock.timers.tick(37_000);
  sockets[0].says({ type: "heartbeat" });
  mock.timers.tick(37_000);
  assert.equal(sockets[0].readyState, 1);
  mock.timers.tick(500);
  assert.equal(sockets[0].readyState, 3);
  assert.equal(last(seen)[2].reason, "silent");
});

test("events that say why a stream ends are obeyed", () => {
  const { live } = follow({ transports: ["sse"] });
  streams[0].onopen();
  streams[0].tells("close", { code: 1013, reason: "try-later", reconnect: true });
  assert.equal(live.state, "reconnecting");
  mock.timers.tick(500);
  streams[1].onopen();
  streams[1].tells("close", { code: 4003, reason: "too-many-messages", reconnect: false });
  assert.equal(live.state, "closed");
});

test("topics that come and go change one stream once", () => {
  const { live, subscription } = follow({ transports: ["sse"] });
  streams[0].onopen();
  streams[0].says(message("e:4"));
  live.subscribe("match:1", {});
  live.subscribe("match:2", {}).close();
  mock.timers.tick(0);
  assert.equal(streams.length, 2);
  assert.equal(streams[1].url.search, "?topic=scores&topic=match%3A1&last_event_id=scores%40e%3A4");
  subscription.close();
  mock.timers.tick(0);
  assert.equal(streams[2].url.search, "?topic=match%3A1");
});

test("what a topic still says after it was left is for nobody, even when it is followed anew", () => {
  const { live, subscription, handlers, told } = follow();
  sockets[0].opens();
  sockets[0].says(subscribed("e:1"));
  subscription.close();
  live.subscribe("scores", handlers);
  sockets[0].says(message("e:2"));
  assert.deepEqual(told("message"), []);
  sockets[0].says({ type: "unsubscribed", topic: "scores" });
  sockets[0].says(message("e:3"));
  assert.deepEqual(told("message").map(({ id }) => id), ["e:3"]);
});

test("a refused topic is told and not asked for again", () => {
  const { live, told } = follow();
  live.subscribe("match:1", {});
  sockets[0].opens();
  sockets[0].says({ type: "error", topic: "scores", code: "forbidden", message: "no" });
  assert.deepEqual(told("error"), [{ code: "forbidden", message: "no" }]);
  sockets[0].ends(1006);
  mock.timers.tick(500);
  sockets[1].opens();
  assert.deepEqual(sockets[1].sent.map(({ topic }) => topic), ["match:1"]);
});

test("a topic is followed once", () => {
  const { live } = follow();
  assert.throws(() => live.subscribe("scores", {}), /followed already/);
});

test("close ends everything", () => {
  const { live } = follow();
  sockets[0].opens();
  live.close();
  assert.equal(live.state, "closed");
  assert.equal(sockets[0].readyState, 3);
  sockets[0].says(message("e:2"));
  mock.timers.tick(100_000);
  assert.equal(sockets.length, 1);
  assert.throws(() => live.subscribe("scores", {}), /closed/);
});

test("a platform without constructors is told what to give", () => {
  assert.throws(() => connect("http://x", { WebSocket: undefined, EventSource: undefined }), /WebSocket, EventSource/);
  assert.throws(() => connect(), /where the server is/);
});

test("the server may live below a path, and on TLS", () => {
  for (const url of ["https://example.org/live", "wss://example.org/live/"]) {
    connect(url, { WebSocket: FakeSocket }).subscribe("scores", {});
    assert.equal(last(sockets).url.href, "wss://example.org/live/ws");
    connect(url, { EventSource: FakeStream, transports: ["sse"] }).subscribe("scores", {});
    assert.equal(last(streams).url.href, "https://example.org/live/topics/stream?topic=scores");
  }
});
