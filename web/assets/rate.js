// Updates per second over a sliding window. Counts live in a ring of short
// slots rather than a list of times, so the cost does not grow with the load.

const SLOT_MS = 250;
const SLOTS = 20; // a window of five seconds: steady to read, quick to react

export class RateMeter {
  #counts = new Array(SLOTS).fill(0);
  #slot;
  #startedAt;

  constructor(now) {
    this.#startedAt = now;
    this.#slot = Math.floor(now / SLOT_MS);
  }

  count(now) {
    this.#advance(now);
    this.#counts[this.#slot % SLOTS] += 1;
  }

  perSecond(now) {
    this.#advance(now);
    const total = this.#counts.reduce((sum, count) => sum + count, 0);
    // A page younger than the window would otherwise under-report.
    const window_ms = Math.min(SLOTS * SLOT_MS, Math.max(1000, now - this.#startedAt));
    return (total * 1000) / window_ms;
  }

  #advance(now) {
    const slot = Math.floor(now / SLOT_MS);
    if (slot - this.#slot >= SLOTS) this.#counts.fill(0);
    else for (let s = this.#slot + 1; s <= slot; s += 1) this.#counts[s % SLOTS] = 0;
    this.#slot = Math.max(slot, this.#slot);
  }
}
