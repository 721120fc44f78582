// Where the numbers of a value are: a path is the list of keys that leads to one, [] for a value that is a number.

const MOST_PATHS = 50;
const DEEPEST = 8;

/** Paths of all numbers in `data`, in the order of the document. */
export function numberPaths(data) {
  return leaves(data).filter(({ value }) => typeof value === "number").map(({ path }) => path);
}

/** Everything in `data` that is neither object nor list, as { path, value }, in the order of the document. */
export function leaves(data, path = [], found = []) {
  if (found.length >= MOST_PATHS) return found;
  const nested = data !== null && typeof data === "object";
  if (!nested) found.push({ path, value: data });
  else if (path.length < DEEPEST) for (const key of Object.keys(data)) leaves(data[key], [...path, key], found);
  return found;
}

/** The number at the end of a path, or null where there is none. */
export function numberAt(data, path) {
  let value = data;
  for (const key of path) {
    // Only what the document says: not what objects, lists and texts have by themselves.
    if (value === null || typeof value !== "object" || !Object.prototype.propertyIsEnumerable.call(value, key)) return null;
    value = value[key];
  }
  return typeof value === "number" ? value : null;
}

/** A path as people write it: price, bids[0].size, "BTC-USD".last. */
export function pathText(path) {
  const text = path.reduce((before, key) => {
    if (/^\d+$/.test(key)) return `${before}[${key}]`;
    const name = /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) ? key : JSON.stringify(key);
    return before ? `${before}.${name}` : name;
  }, "");
  return text || "value";
}

/** The path to plot unless the reader chooses: the first number that does not merely say when the value was made. */
export function plottedFirst(data, timestamp) {
  const paths = numberPaths(data);
  return paths.find((path) => !isTimeNear(numberAt(data, path), timestamp)) ?? paths[0] ?? null;
}

const A_YEAR = 366 * 86_400;

/** Whether a number, read as Unix seconds, milli-, micro- or nanoseconds, lies within a year of `timestamp` (seconds). */
function isTimeNear(number, timestamp) {
  return [1, 1e3, 1e6, 1e9].some((unit) => Math.abs(number / unit - timestamp) < A_YEAR);
}
