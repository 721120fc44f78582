// Speaks through a polite live region without flooding it: at most one
// announcement per interval, and always the newest.

const INTERVAL_MS = 5000;

export class Announcer {
  #region;
  #interval_ms;
  #spoken = "";
  #next = "";
  #timer = null;
  #quietUntil = 0;

  constructor(region, interval_ms = INTERVAL_MS) {
    this.#region = region;
    this.#interval_ms = interval_ms;
  }

  /** Takes `text` as already known to the listener, so it is not announced. */
  assume(text) {
    this.#spoken = text;
  }

  say(text) {
    this.#next = text;
    this.#timer ??= setTimeout(() => this.#speak(), Math.max(0, this.#quietUntil - Date.now()));
  }

  #speak() {
    this.#timer = null;
    // What changed and changed back while we kept quiet is no news.
    if (this.#next === this.#spoken) return;
    this.#spoken = this.#next;
    this.#quietUntil = Date.now() + this.#interval_ms;
    this.#region.textContent = this.#next;
  }
}
