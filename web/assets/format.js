// Numbers, times and durations in words.

const plain = new Intl.NumberFormat(undefined, { maximumFractionDigits: 20 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const shortClock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A number as exactly as the page knows it; very large and very small ones in powers of ten. */
export function exactNumber(number) {
  const size = Math.abs(number);
  return size !== 0 && (size >= 1e15 || size < 1e-6) ? String(number) : plain.format(number);
}

/** A tick of an axis of numbers. */
export function axisNumber({ at, step, digits }) {
  // Short only where short ones still differ.
  if (Math.abs(at) >= 1e6 && step >= Math.abs(at) / 1e4) {
    return at.toLocaleString(undefined, { notation: "compact", maximumSignificantDigits: 5 });
  }
  return at.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A leaf of a value: texts as they are, the rest as JSON has it. */
export function leafText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The time of day, with the day where it is another than that of `now`; both in Unix seconds. */
export function timeText(at, now) {
  const [time, today] = [new Date(at * 1000), new Date(now * 1000)];
  const time_of_day = clock.format(time);
  return time.toDateString() === today.toDateString() ? time_of_day : `${day.format(time)}, ${time_of_day}`;
}

/** A time on an axis whose ticks are `step` seconds apart. */
export function axisTime(at, step) {
  const time = new Date(at * 1000);
  if (step >= 86_400 || (step >= 3_600 && time.getHours() === 0)) return day.format(time);
  return (step < 60 ? clock : shortClock).format(time);
}

/** How long something takes or took: "0.1 s", "42 s", "3 min 5 s", "2 h", "3 days". */
export function duration(seconds) {
  if (seconds < 10 && !Number.isInteger(seconds)) return `${plain.format(Number(seconds.toFixed(1)))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return two(whole, 60, "min", 1, "s");
  if (whole < 2 * 86_400) return two(whole, 3_600, "h", 60, "min");
  return `${Math.floor(whole / 86_400)} days`;
}

function two(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeName}${rest > 0 ? ` ${rest} ${smallName}` : ""}`;
}

/** How long ago: whole seconds, since it is counted by the second. */
export function age(seconds) {
  return duration(Math.max(0, Math.floor(seconds)));
}
