// Owns the connection to the score stream and knows its state.
//
// EventSource resumes a dropped stream by itself, with Last-Event-ID. It gives
// up for good on any answer but 200, so then a new one is made after a jittered
// back-off. The new one carries no cursor on purpose: a fresh snapshot is all a
// page needs, and a cursor the server refuses could never heal.

const EVENTS = ["snapshot", "top", "update", "remove", "reset"];
const FIRST_BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 30_000;
const OFFLINE_AFTER_MS = 20_000; // longer than a server restart should take

export class ScoreStream {
  #url;
  #handlers;
  #source = null;
  #refusals = 0;
  #retryTimer = null;
  #offlineTimer = null;
  #state = null;
  #next = "";

  /**
   * `handlers.event(name, data)` gets each event, parsed;
   * `handlers.state(state, next)` gets each change of state and, in words, what happens next.
   */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    addEventListener("online", () => {
      if (this.#state === "live") return;
      // A new network deserves its own verdict on who is offline.
      clearTimeout(this.#offlineTimer);
      this.#offlineTimer = null;
      this.#state = "reconnecting";
      this.open();
    });
    addEventListener("offline", () => this.#lost());
  }

  open() {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    if (this.#state === null) this.#enter("connecting", "Opening the score stream.");
    else this.#enter(this.#state === "live" ? "reconnecting" : this.#state, "Trying again now.");

    const source = new EventSource(this.#url);
    this.#source = source;
    source.onopen = () => this.#live();
    source.onerror = () => this.#lost();
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        this.#live();
        this.#handlers.event(name, JSON.parse(event.data));
      });
    }
  }

  #live() {
    if (this.#state === "live") return;
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = null;
    this.#refusals = 0;
    this.#enter("live", "Scores arrive as they happen.");
  }

  #lost() {
    this.#offlineTimer ??= setTimeout(() => this.#enter("offline", this.#next), OFFLINE_AFTER_MS);
    const offline = !navigator.onLine || this.#state === "offline";
    this.#enter(offline ? "offline" : "reconnecting", this.#whatNext());
  }

  #whatNext() {
    const closed = this.#source.readyState === EventSource.CLOSED;
    // Without a network every attempt is in vain; the "online" event reopens.
    // An open stream may still prove alive (a server on this machine), so it stays.
    if (!navigator.onLine) return "Resumes when the network is back.";
    if (!closed) return "Trying again by itself every few seconds.";
    const ceiling_ms = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#refusals);
    // Jitter keeps the viewers of a restarted server from returning all at once.
    const delay_ms = ceiling_ms * (0.5 + Math.random() / 2);
    this.#refusals += 1;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.open(), delay_ms);
    return `Next attempt in about ${Math.ceil(delay_ms / 1000)} s.`;
  }

  #enter(state, next) {
    this.#state = state;
    this.#next = next;
    this.#handlers.state(state, next);
  }
}
