// What the page knows of one feed over time: its messages, and when the source was seen well or not.

import { longestSilence, stretches } from "./gaps.js";

export const MOST_POINTS = 1000;
export const LOOK_SECONDS = 3;
const FEWEST_FETCHES_SHOWN = 24;
const SHORTEST_WINDOW = 60; // seconds

export class Series {
  points = []; // { key, at (Unix seconds of the fetch), data }, oldest first
  #checks = [];
  #missed = [];
  #keys = new Set();

  constructor(fetchSeconds) {
    this.fetchSeconds = fetchSeconds;
  }

  get latest() {
    return this.points.at(-1) ?? null;
  }

  /** Takes a message that came live; false for one that is there already. */
  add(message) {
    const point = pointOf(message);
    if (this.#keys.has(point.key) || point.at < (this.latest?.at ?? -Infinity)) return false;
    this.points.push(point);
    this.#keys.add(point.key);
    if (this.points.length > MOST_POINTS) this.#dropOldest();
    return true;
  }

  /**
   * Takes the history, oldest first. It is the truth on all that it reaches, ids included: after a server forgot its
   * epoch the same messages have other ids. Only what is newer stays.
   */
  replace(messages) {
    const points = messages.map(pointOf);
    const newest = points.at(-1)?.at ?? -Infinity;
    const keys = new Set(points.map(({ key }) => key));
    const inLastSecond = new Set(points.filter(({ at }) => at === newest).map(({ data }) => JSON.stringify(data)));
    const newer = this.points.filter(({ key, at, data }) => {
      if (keys.has(key) || at < newest) return false;
      return at > newest || !inLastSecond.has(JSON.stringify(data));
    });
    this.points = points.concat(newer).slice(-MOST_POINTS);
    this.#keys = new Set(this.points.map(({ key }) => key));
    this.#forget();
  }

  /** Takes what a look at the feed said at `now`: when the source last confirmed the value, or null. */
  look(checkedAt, now) {
    if (checkedAt === null) return;
    const silence = longestSilence(this.fetchSeconds);
    if (checkedAt > (this.#checks.at(-1) ?? -Infinity)) {
      const [one, two] = this.#checks.slice(-2);
      const longest = Math.max(silence, 2.5 * LOOK_SECONDS);
      // In a row of looks without news in between, the first and the last say it all.
      const inARow = two - one <= longest && checkedAt - two <= longest && !(this.latest?.at > one);
      if (inARow && !(this.#missed.at(-1) > one)) this.#checks.pop();
      this.#checks.push(checkedAt);
    }
    if (now - checkedAt > silence) {
      if (this.#missed.at(-1) > checkedAt) this.#missed.pop();
      this.#missed.push(now);
    }
  }

  /** When the source was last known to be well, in Unix seconds; null before the first time. */
  get confirmedAt() {
    const last = Math.max(this.latest?.at ?? -Infinity, this.#checks.at(-1) ?? -Infinity);
    return last === -Infinity ? null : last;
  }

  /** Whether nothing was confirmed for so long that the chart says so, whatever the last look said. */
  isSilent(now) {
    const { confirmedAt } = this;
    return confirmedAt !== null && now - confirmedAt > longestSilence(this.fetchSeconds) + 2 * LOOK_SECONDS;
  }

  stretches() {
    const times = this.points.map(({ at }) => at);
    return stretches({
      times,
      checks: this.#checks,
      missed: this.#missed,
      fetchSeconds: this.fetchSeconds,
      lookSeconds: LOOK_SECONDS,
    });
  }

  /** Times from and to which a chart shows, the newest being now. */
  window(now) {
    const shortest = Math.max(SHORTEST_WINDOW, FEWEST_FETCHES_SHOWN * this.fetchSeconds);
    const to = Math.max(now, this.confirmedAt ?? now);
    return [Math.min(this.points[0]?.at ?? to, to - shortest), to];
  }

  #dropOldest() {
    this.#keys.delete(this.points.shift().key);
    this.#forget();
  }

  /** Evidence about times before the first point is about nothing. */
  #forget() {
    const first = this.points[0]?.at ?? -Infinity;
    while (this.#checks[0] < first) this.#checks.shift();
    while (this.#missed[0] < first) this.#missed.shift();
  }
}

/** A message that came without an id (the earlier ones of a conflated batch) is told by its time and data. */
function pointOf({ id, timestamp, data }) {
  return { key: id ?? `${timestamp} ${JSON.stringify(data)}`, at: timestamp, data };
}
