// What the page knows of one feed over time: its messages, and when the source was seen well or not.

import { longestLook, longestSilence, stretches } from "./gaps.js";

export const MOST_POINTS = 1000;
export const LOOK_SECONDS = 3;
const FEWEST_FETCHES_SHOWN = 24;
const SHORTEST_WINDOW = 60; // seconds

export class Series {
  points = []; // { key, at (Unix seconds of the fetch), data }, oldest first
  #rows = []; // { from, to } of looks that found the source well
  #missed = []; // when looks found it unconfirmed for too long
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
    const row = this.#rows.at(-1);
    if (!row || checkedAt > row.to) {
      // Looks in a row without news in between are one span, however long: a source may be well for days and say nothing.
      const near = checkedAt - row?.to <= longestLook(this.fetchSeconds, LOOK_SECONDS);
      if (near && !(this.#missed.at(-1) > row.to) && !(this.latest?.at > row.from)) row.to = checkedAt;
      else this.#rows.push({ from: checkedAt, to: checkedAt });
    }
    if (now - checkedAt > longestSilence(this.fetchSeconds)) {
      // Of one silence the last look says it all.
      if (this.#missed.at(-1) > checkedAt) this.#missed.pop();
      this.#missed.push(now);
    }
  }

  /** When the source was last known to be well, in Unix seconds; null before the first time. */
  get confirmedAt() {
    const last = Math.max(this.latest?.at ?? -Infinity, this.#rows.at(-1)?.to ?? -Infinity);
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
      rows: this.#rows,
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
    while (this.#rows[0]?.to < first) this.#rows.shift();
    while (this.#missed[0] < first) this.#missed.shift();
  }
}

/** A message that came without an id (the earlier ones of a conflated batch) is told by its time and data. */
function pointOf({ id, timestamp, data }) {
  return { key: id ?? `${timestamp} ${JSON.stringify(data)}`, at: timestamp, data };
}
