// The line that says how the page is connected, in words and for the ear.

import { Announcer } from "./announcer.js";

const element = (id) => document.getElementById(id);

export class ConnectionLine {
  lostSince = null; // when the stream was lost, if it is
  #words;
  #state = null;
  #news = new Announcer(element("connection-news"));

  /** `words`: what to say while the stream is { live, connecting }. */
  constructor(words) {
    this.#words = words;
  }

  /** Takes what the client's `onstate` says. */
  show(state, detail) {
    const word = state[0].toUpperCase() + state.slice(1);
    const next = this.#whatNext(state, detail);
    element("connection").dataset.state = state;
    if (state === "live") element("connection").dataset.transport = detail.transport;
    element("connection-word").textContent = word;
    element("connection-next").textContent = next;
    // Each failed attempt changes what happens next, but only a new state is news.
    if (state !== this.#state) this.#news.say(`${word}. ${state === "live" ? "" : next}`.trim());
    this.#state = state;
    this.lostSince = state === "live" ? null : (this.lostSince ?? new Date());
  }

  /** What happens next, in words. */
  #whatNext(state, { retryIn, reason }) {
    if (state === "live" || state === "connecting") return this.#words[state];
    if (state === "closed") return `The server ended the stream (${reason}): reload the page to try again.`;
    if (!navigator.onLine) return "Resumes when the network is back.";
    if (retryIn === 0) return "Trying again now.";
    if (retryIn > 0) return `Next attempt in about ${Math.ceil(retryIn / 1000)} s.`;
    return "Trying again by itself every few seconds.";
  }
}
