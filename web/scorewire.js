// Follows topics of a Scorewire server, over WebSocket or server-sent events, and comes back by itself.
//
//   import { connect } from "/scorewire.js";
//   const live = connect();
//   live.subscribe("scores", { message: ({ event, data }) => console.log(event, data) });
//
// A topic's place is the id of its last message that had one: in a batch of conflated messages only the last has an
// id, because only then does what was seen equal the topic's state. Whoever comes back names that place and gets
// everything after it, or `reset`.
//
// No dependencies. Browsers, and Node 18 or newer given `WebSocket` and `EventSource` as options.
// The protocol is docs/PROTOCOL.md of the project.

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;
const STEADY_AFTER_MS = 10_000; // live for so long, the next break starts the back-off anew
const OFFLINE_AFTER_MS = 20_000; // longer than a server restart should take
const OPENING_MS = 10_000; // some proxies swallow what they do not know, without an answer
const SILENCE_MS = 2.5 * 15_000; // the server's heartbeat comes every 15 s
const FAILURES_BEFORE_CHANGE = 2;

/** Close codes after which coming back would only repeat the fault. */
const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1009, 4003]);
const REAUTHENTICATE = 4001;
const ABNORMAL = 1006; // what WebSocket calls a connection that broke off

/** Connects to the server at `url`, by default the one that the page came from, with the first subscription. */
export function connect(url, options) {
  // `connect({ … })` means the page's own server, too.
  return typeof url === "object" && !(url instanceof URL) ? new Live(undefined, url) : new Live(url, options);
}

class Live {
  /** Called with each change of state, and why or what happens next. */
  onstate = null;

  #base;
  #options;
  #transports;
  #topics = new Map(); // name → Topic
  #state = "connecting";

  #connection = null; // the transport in use, or being opened
  #attempt = 0; // told apart from attempts that were overtaken while they waited for a token
  #chosen = 0; // index in #transports
  #firstEverOpened = false;
  #failures = 0; // of the chosen transport, in a row, without opening
  #backoffs = 0;
  #reason = "first";

  #retryTimer = null;
  #offlineTimer = null;
  #steadyTimer = null;
  #silenceTimer = null;

  constructor(url, options = {}) {
    this.#options = { WebSocket: globalThis.WebSocket, EventSource: globalThis.EventSource, silence: SILENCE_MS, ...options };
    const page = globalThis.location?.origin;
    if (!url && !page) throw new TypeError("connect(url): outside of a page, say where the server is");
    this.#base = new URL(url ?? "/", page);
    this.#base.protocol = this.#base.protocol.replace("ws", "http");
    // "https://host/scores-server" means what lies below it.
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    const known = { websocket: [WebSocketTransport, this.#options.WebSocket], sse: [SseTransport, this.#options.EventSource] };
    const wanted = this.#options.transports ?? ["websocket", "sse"];
    for (const name of wanted) if (!known[name]) throw new TypeError(`there is no transport "${name}": websocket, sse`);
    this.#transports = wanted.map((name) => known[name]).filter(([, Constructor]) => Constructor);
    if (this.#transports.length === 0) {
      throw new TypeError(`connect: give a constructor for one of ${wanted.join(", ")} as option (WebSocket, EventSource)`);
    }
    globalThis.addEventListener?.("online", this.#online);
    globalThis.addEventListener?.("offline", this.#offline);
  }

  /** connecting, live, reconnecting, offline or closed. */
  get state() {
    return this.#state;
  }

  /**
   * Follows a topic. `handlers`: message({ event, id, data }), reset({ reason, id }), subscribed({ id, recovered }),
   * error({ code, message }). `start`: nothing for the state of now, or `since` (unix seconds), or `lastEventId`.
   */
  subscribe(name, handlers, start = {}) {
    if (this.#state === "closed") throw new Error("this connection is closed");
    if (this.#topics.has(name)) throw new Error(`"${name}" is followed already: one subscription per topic and connection`);
    const topic = new Topic(name, handlers, start);
    this.#topics.set(name, topic);
    if (this.#connection) this.#connection.add(topic);
    else if (this.#topics.size === 1) this.#open();
    return { topic: name, close: () => this.#leave(topic) };
  }

  /** Ends for good. */
  close() {
    this.#end({ reason: "closed" });
  }

  #leave(topic) {
    if (this.#topics.get(topic.name) !== topic) return;
    this.#topics.delete(topic.name);
    this.#connection?.remove(topic);
  }

  async #open() {
    clearTimeout(this.#retryTimer);
    this.#drop();
    const attempt = ++this.#attempt;
    // With nothing to follow there is nothing to connect for: the next subscription opens.
    if (this.#topics.size === 0) return;
    const [Transport, Constructor] = this.#transports[this.#chosen];
    const state = this.#state === "live" ? "reconnecting" : this.#state;
    this.#enter(state, { reason: this.#reason, transport: Transport.label, retryIn: 0 });
    let token = this.#options.token;
    if (typeof token === "function") {
      try {
        token = await token({ reason: this.#reason });
      } catch (error) {
        if (attempt === this.#attempt) this.#later({ reason: "no-token", error });
        return;
      }
      if (attempt !== this.#attempt || this.#state === "closed") return;
    }
    const { every, conflate } = this.#options;
    const connection = new Transport(Constructor, {
      base: this.#base,
      token,
      every: typeof every === "number" ? `${every}ms` : every,
      conflate,
      topics: () => this.#topics.values(),
      // A transport that was given up may still have something to say.
      opened: () => connection === this.#connection && this.#opened(),
      frame: (frame, only) => connection === this.#connection && this.#frame(frame, only),
      ended: (end) => connection === this.#connection && this.#ended(end),
    });
    this.#connection = connection;
    this.#listen(OPENING_MS);
    connection.open();
  }

  #opened() {
    if (this.#chosen === 0) this.#firstEverOpened = true;
    this.#failures = 0;
    this.#connection.wasOpen = true;
    this.#listen(this.#connection.hearsHeartbeats ? this.#options.silence : null);
  }

  /** Reconnects unless something arrives in time; `null` waits for ever. */
  #listen(ms) {
    clearTimeout(this.#silenceTimer);
    if (!ms) return;
    const connection = this.#connection;
    this.#silenceTimer = setTimeout(() => connection === this.#connection && this.#ended({ reason: "silent" }), ms);
  }

  /** `only`: nothing else runs beside the stream that this came over, so it stands in order with everything. */
  #frame(frame, only) {
    // An EventSource hides comments: only a server that sends heartbeats as events can be found silent.
    if (frame.type === "heartbeat") this.#connection.hearsHeartbeats = true;
    this.#listen(this.#connection.hearsHeartbeats ? this.#options.silence : null);
    this.#live();
    const named = this.#topics.get(frame.topic);
    // How a topic begins is told in one go: whatever else comes says that all of it has come.
    if (only) for (const topic of this.#topics.values()) if (topic !== named) topic.settle();
    switch (frame.type) {
      case "subscribed":
      case "message":
      case "reset":
        named?.[frame.type](frame);
        break;
      case "error":
        // A refused topic is not asked for again; anything else is about the whole connection.
        if (named) this.#topics.delete(frame.topic);
        for (const topic of frame.topic ? [named] : this.#topics.values()) {
          topic?.handlers.error?.({ code: frame.code, message: frame.message });
        }
    }
  }

  #live() {
    if (this.#state === "live") return;
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = null;
    clearTimeout(this.#steadyTimer);
    this.#steadyTimer = setTimeout(() => (this.#backoffs = 0), STEADY_AFTER_MS);
    this.#enter("live", { transport: this.#connection.constructor.label });
  }

  /** The connection is over: `code` and `reason` of the close table, `comeBack` when the server said. */
  #ended({ code, reason, comeBack = !FINAL_CODES.has(code) }) {
    const { wasOpen } = this.#connection;
    this.#drop();
    if (!comeBack) return this.#end({ code, reason });
    if (code === REAUTHENTICATE) {
      // The same token would only be refused.
      if (typeof this.#options.token !== "function") return this.#end({ code, reason });
      return this.#later({ code, reason });
    }
    if (!wasOpen) this.#failures += 1;
    if (this.#failures >= FAILURES_BEFORE_CHANGE) {
      // Round and round: what is blocked here may work in the next network, and a server that was away blocks nothing.
      this.#chosen = (this.#chosen + 1) % this.#transports.length;
      this.#failures = 0;
    } else if (wasOpen && this.#firstEverOpened) {
      this.#chosen = 0;
    }
    return this.#later({ code, reason });
  }

  /** Tries again after a back-off with full jitter, so that the viewers of a restarted server do not return at once. */
  #later({ code, reason, error }) {
    this.#reason = reason;
    const ceiling_ms = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#backoffs);
    const retryIn = Math.random() * ceiling_ms;
    this.#backoffs += 1;
    const detail = { code, reason, error };
    this.#offlineTimer ??= setTimeout(() => this.#enter("offline", detail), OFFLINE_AFTER_MS);
    // Without a network every attempt is in vain; the "online" event opens again.
    if (!networked()) return this.#enter("offline", detail);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#open(), retryIn);
    return this.#enter(this.#state === "offline" ? "offline" : "reconnecting", { ...detail, retryIn });
  }

  #online = () => {
    if (this.#state === "live" || this.#state === "closed" || this.#topics.size === 0) return;
    // A new network deserves its own verdict on who is offline, and on what is blocked.
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = null;
    this.#backoffs = 0;
    this.#reason = "online";
    this.#state = "reconnecting";
    this.#open();
  };

  #offline = () => {
    // The connection stays: it may still prove alive (a server on this machine), and then the next frame says so.
    if (this.#state !== "closed") this.#enter("offline", { reason: "offline" });
  };

  #drop() {
    for (const timer of [this.#silenceTimer, this.#steadyTimer]) clearTimeout(timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
  }

  #end(detail) {
    if (this.#state === "closed") return;
    this.#attempt += 1;
    this.#drop();
    for (const timer of [this.#retryTimer, this.#offlineTimer]) clearTimeout(timer);
    globalThis.removeEventListener?.("online", this.#online);
    globalThis.removeEventListener?.("offline", this.#offline);
    this.#topics.clear();
    this.#enter("closed", detail);
  }

  #enter(state, detail) {
    this.#state = state;
    this.onstate?.(state, detail);
  }
}

/** One subscription and its place. */
class Topic {
  #place = null; // id of the last message that had one, or the id that the user began with
  #since;
  #given = null; // id of a place that counts once nothing more belongs to it, see settle()

  constructor(name, handlers, { since, lastEventId }) {
    this.name = name;
    this.handlers = handlers;
    this.#place = lastEventId ?? null;
    this.#since = since;
  }

  /** Where to go on from, as members of a subscribe message. */
  start() {
    if (this.#place) return { last_event_id: this.#place };
    if (this.#since !== undefined) return { since: this.#since };
    if (this.#given) {
      // Cut off between `subscribed` and the first message. To begin anew is right for a topic with a snapshot, and
      // leaves out what a topic without one had meanwhile: that must not go unsaid.
      this.#given = null;
      this.handlers.reset?.({ reason: "interrupted" });
    }
    return {};
  }

  subscribed({ id, recovered }) {
    // Recovered, everything after this id is still to come.
    if (recovered && id) this.#moveTo(id);
    else if (!recovered) this.#given = id ?? null;
    this.handlers.subscribed?.({ id, recovered });
  }

  message({ event, id, data }) {
    if (id) this.#moveTo(id);
    else this.settle();
    this.handlers.message?.({ event, id, data });
  }

  reset({ reason, id }) {
    this.#place = null;
    this.#since = undefined;
    this.#given = id ?? null;
    this.handlers.reset?.({ reason, id });
  }

  /** After `subscribed` and `reset` a snapshot may follow. Once something else came, their id is our place. */
  settle() {
    if (this.#given) this.#moveTo(this.#given);
  }

  #moveTo(id) {
    this.#place = id;
    this.#since = undefined;
    this.#given = null;
  }
}

/** All topics on one socket. */
class WebSocketTransport {
  static label = "websocket";
  hearsHeartbeats = true;
  wasOpen = false;
  #Constructor;
  #to;
  #socket;
  #pinged = false;
  #leaving = new Map(); // topic → unsubscriptions not answered yet: what comes until then is for nobody

  constructor(Constructor, to) {
    this.#Constructor = Constructor;
    this.#to = to;
  }

  open() {
    const url = new URL("ws", this.#to.base);
    url.protocol = url.protocol.replace("http", "ws");
    // Browsers can not send headers with it.
    if (this.#to.token) url.searchParams.set("access_token", this.#to.token);
    const socket = new this.#Constructor(url.href, "scorewire.v1");
    this.#socket = socket;
    socket.onopen = () => {
      this.#to.opened();
      for (const topic of this.#to.topics()) this.add(topic);
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#to.ended({ code, reason: reason || (this.wasOpen ? "lost" : "refused") });
    socket.onerror = () => {}; // a close event follows and says as much
  }

  add(topic) {
    const { every, conflate } = this.#to;
    // Whoever is added while the socket opens is subscribed with the others then.
    this.#send(() => ({ type: "subscribe", topic: topic.name, ...topic.start(), every, conflate }));
  }

  remove({ name }) {
    const sent = this.#send(() => ({ type: "unsubscribe", topic: name }));
    if (sent) this.#leaving.set(name, (this.#leaving.get(name) ?? 0) + 1);
  }

  close() {
    this.#socket?.close(1000);
  }

  #receive(frame) {
    const leaving = this.#leaving.get(frame.topic) ?? 0;
    const left = frame.type === "unsubscribed" || frame.code === "not-subscribed";
    if (left) this.#leaving.set(frame.topic, Math.max(0, leaving - 1));
    else if (leaving === 0) this.#to.frame(frame, true);
    // The answer says that no snapshot is on its way any more, long before the next heartbeat would. One is enough for
    // many topics: a server takes only so many messages in a second.
    if (frame.type === "pong") this.#pinged = false;
    else if (frame.type === "subscribed" && !this.#pinged) this.#pinged = this.#send(() => ({ type: "ping" }));
  }

  #send(frame) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame()));
    return true;
  }
}

/**
 * All topics in one stream of server-sent events, begun anew whenever the topics change. A stream has one `since`, which
 * a place would overrule: topics that begin with a time have a stream of their own until then.
 */
class SseTransport {
  static label = "sse";
  hearsHeartbeats = false;
  wasOpen = false;
  #Constructor;
  #to;
  #sources = [];
  #changed = null; // timer

  constructor(Constructor, to) {
    this.#Constructor = Constructor;
    this.#to = to;
  }

  open() {
    const streams = new Map(); // since, or undefined → [topic's name, last id]
    for (const topic of this.#to.topics()) {
      const { last_event_id, since } = topic.start();
      if (!streams.has(since)) streams.set(since, []);
      streams.get(since).push([topic.name, last_event_id]);
    }
    for (const [since, topics] of streams) this.#follow(since, topics);
  }

  #follow(since, topics) {
    const url = new URL("topics/stream", this.#to.base);
    for (const [name] of topics) url.searchParams.append("topic", name);
    const { every, conflate, token } = this.#to;
    // A fresh EventSource has no header to name a place with.
    const places = topics.filter(([, id]) => id).map(([name, id]) => `${name}@${id}`);
    if (places.length > 0) url.searchParams.set("last_event_id", places.join(","));
    if (since !== undefined) url.searchParams.set("since", since);
    if (every) url.searchParams.set("every", every);
    if (conflate === false) url.searchParams.set("conflate", "0");
    if (token) url.searchParams.set("access_token", token);

    const source = new this.#Constructor(url.href);
    this.#sources.push(source);
    const current = (act) => (event) => this.#sources.includes(source) && act(event);
    source.onopen = current(() => this.#to.opened());
    source.onmessage = current(({ data }) => this.#to.frame(JSON.parse(data), this.#sources.length === 1));
    for (const name of ["close", "reauthenticate"]) {
      source.addEventListener(name, current(({ data }) => {
        const { code, reason, reconnect } = JSON.parse(data);
        this.#to.ended({ code, reason, comeBack: reconnect });
      }));
    }
    // It would come back by itself, but without an upper limit on how soon, nor with a new token.
    source.onerror = current(() => this.#to.ended({ code: ABNORMAL, reason: this.wasOpen ? "lost" : "refused" }));
  }

  add() {
    // Topics that change together cost one new stream.
    this.#changed ??= setTimeout(() => {
      this.close();
      this.open();
    }, 0);
  }

  remove() {
    this.add();
  }

  close() {
    clearTimeout(this.#changed);
    this.#changed = null;
    for (const source of this.#sources.splice(0)) source.close();
  }
}

/** Node's navigator knows nothing of networks. */
function networked() {
  return globalThis.navigator?.onLine !== false;
}
