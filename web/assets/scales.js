// From values and times to places on a chart, and where to write numbers beside it. Times are Unix seconds.

/** Maps `from`…`to` onto `start`…`end`; a range without width onto the middle. */
export function linear([from, to], [start, end]) {
  if (from === to) return () => (start + end) / 2;
  return (value) => start + ((value - from) / (to - from)) * (end - start);
}

/** The range that an axis for these values shows: a little more than they need, and never without height. */
export function valueRange(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const size = Math.max(Math.abs(high), Math.abs(low));
  // A flat line stands in the middle of something, and a price that hardly moves is not blown up to noise.
  const least = low === high ? size / 10 || 2 : size * 1e-6;
  const margin = Math.max((high - low) * 0.08, least / 2);
  return [low - margin, high + margin];
}

/** Round numbers in a range, about `most` of them, as { at, step, digits }: `digits` after the point tell them apart. */
export function numberTicks([from, to], most) {
  const rough = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough * (1 - 1e-9)) ?? 10 * power;
  if (!Number.isFinite(step) || step <= 0) return [];
  const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const ticks = [];
  // Multiples of the step rather than sums: adding up would drift.
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9 && ticks.length <= most + 1; n += 1) {
    ticks.push({ at: Number((n * step).toFixed(digits)) + 0, step, digits });
  }
  return ticks;
}

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365].map((n) => n * DAY),
];

/** Distance of the ticks of an axis that has room for `most`. */
export function timeStep([from, to], most) {
  const rough = (to - from) / Math.max(1, most);
  return STEPS.find((step) => step >= rough) ?? STEPS.at(-1);
}

/** Full seconds, minutes, hours or days of local time in a range. */
export function timeTicks([from, to], step) {
  const ticks = [];
  const tick = new Date(from * 1000);
  // Counted from midnight in local hours: zones that are half an hour off, and days of 23 hours, come out right.
  tick.setHours(0, 0, 0, 0);
  if (step < HOUR) tick.setTime(tick.getTime() + Math.max(0, Math.floor((from * 1000 - tick.getTime()) / (step * 1000)) * step * 1000));
  while (tick.getTime() <= to * 1000 && ticks.length < 100) {
    if (tick.getTime() >= from * 1000) ticks.push(tick.getTime() / 1000);
    if (step < HOUR) tick.setTime(tick.getTime() + step * 1000);
    else if (step < DAY) tick.setHours(tick.getHours() + step / HOUR);
    else tick.setDate(tick.getDate() + step / DAY);
  }
  return ticks;
}

/** Index of the time nearest to `at` in ascending `times`; -1 without any. */
export function nearest(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  if (low === times.length) return times.length - 1;
  return low > 0 && at - times[low - 1] <= times[low] - at ? low - 1 : low;
}
