// A feed's chart as SVG: lines where the source is known to have been well, dashes where nobody can know, nothing in
// gaps. Values that are no numbers become dots on one line, where they changed. What is hovered: chart-cursor.js.

import { axisNumber, axisTime } from "./format.js";
import { linear, numberTicks, timeStep, timeTicks, valueRange } from "./scales.js";

const HEIGHT = 220;
const DOTS_HEIGHT = 132;
const MARGIN = { top: 12, right: 14, bottom: 26 };
const CHARACTER = 7.2; // width of a digit in the axis' font
const DOTS_FROM_APART = 14; // pixels between points, from which on each has a dot

export function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

export class Chart {
  #root;
  #back = svg("g"); // bands, grid and axes
  #front = svg("g"); // lines and dots

  /** Draws into an <svg>. */
  constructor(root) {
    this.#root = root;
    root.append(this.#back, this.#front);
  }

  /**
   * `points`: { at, value, changed }, `value` being a number or null; `numeric`: whether values are plotted;
   * `stretches` as of gaps.js; `range`: times from and to; `stale`: since when the source is unconfirmed, or null.
   * Returns where each point is, { x, y }, or null for one that is not drawn, and the area { top, bottom, left, right }.
   */
  draw({ width, points, numeric, stretches, range, stale }) {
    const height = numeric ? HEIGHT : DOTS_HEIGHT;
    const values = numeric ? valueRange(points.map(({ value }) => value).filter((value) => value !== null)) : [0, 2];
    const marks = numeric ? numberTicks(values, 4).map((tick) => ({ ...tick, label: axisNumber(tick) })) : [];
    const left = numeric ? Math.ceil(Math.max(2, ...marks.map(({ label }) => label.length)) * CHARACTER) + 10 : MARGIN.right;
    const area = { top: MARGIN.top, right: width - MARGIN.right, bottom: height - MARGIN.bottom, left };
    const x = linear(range, [area.left, area.right]);
    const y = linear(values, [area.bottom, area.top]);
    const places = points.map(({ at, value }) => {
      if (!numeric) return { x: x(at), y: y(1) };
      return value === null ? null : { x: x(at), y: y(value) };
    });

    this.#root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#root.setAttribute("height", height);
    this.#back.replaceChildren(
      ...unconfirmed(stretches, stale, range[1], x, area),
      ...marks.flatMap((mark) => numberMark(mark, y, area)),
      ...timeMarks(range, x, area, height),
    );
    const dots = numeric ? loneDots(places, stretches) : points.map(({ changed }) => changed);
    this.#front.replaceChildren(
      svg("path", { class: "unknown", d: path(stretches, "unknown", places, x) }),
      svg("path", { class: "line", d: path(stretches, "well", places, x) }),
      ...places.flatMap((place, n) => (place && dots[n] ? [svg("circle", { class: "dot", cx: place.x, cy: place.y, r: numeric ? 2.5 : 5 })] : [])),
    );
    return { places, area };
  }
}

/** Bands over the times in which the source was not confirmed. */
function unconfirmed(stretches, stale, now, x, { top, bottom }) {
  const bands = stretches.filter(({ kind }) => kind === "gap").map(({ from, to }) => ["gap", from.at, to.at]);
  if (stale !== null) bands.push(["stale", stale, now]);
  return bands.map(([name, from, to]) => {
    const band = { x: x(from), y: top, width: Math.max(1, x(to) - x(from)), height: bottom - top };
    return svg("rect", { class: `band ${name}`, ...band });
  });
}

function numberMark({ at, label }, y, { left, right }) {
  return [
    svg("line", { class: "grid", x1: left, x2: right, y1: y(at), y2: y(at) }),
    svg("text", { x: left - 8, y: y(at) + 4, "text-anchor": "end" }, label),
  ];
}

function timeMarks(range, x, { left, right, bottom }, height) {
  // Labels decide how many have room, and how many there are decides on the labels: twice is enough.
  const room = (step) => Math.max(1, Math.floor((right - left) / (axisTime(range[1], step).length * CHARACTER + 22)));
  const step = timeStep(range, room(timeStep(range, room(1))));
  const ticks = timeTicks(range, step).flatMap((at) => {
    const label = axisTime(at, step);
    const half = (label.length * CHARACTER) / 2;
    const tick = svg("line", { class: "tick", x1: x(at), x2: x(at), y1: bottom, y2: bottom + 5 });
    // A label that would stick out says less than its tick.
    if (x(at) - half < 0 || x(at) + half > right + MARGIN.right) return [tick];
    return [tick, svg("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, label)];
  });
  return [svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }), ...ticks];
}

/** The stretches of a kind as one path. A value holds until the next is known, so one that is held long is a step. */
function path(stretches, kind, places, x) {
  let text = "";
  let pen = null; // where the path ends so far
  const at = (across, down) => `${across.toFixed(1)} ${down.toFixed(1)}`;
  for (const stretch of stretches) {
    const { from, to } = stretch;
    const [start, end] = [places[from.index], places[to.index]];
    if (stretch.kind !== kind || !start || !end) {
      pen = null;
      continue;
    }
    if (pen === null) text += `M${at(x(from.at), start.y)}`;
    if (kind === "unknown") text += `H${x(to.at).toFixed(1)}`;
    pen = at(x(to.at), end.y);
    text += `L${pen}`;
  }
  return text;
}

/** Points that no line leads to, and all of them where they are few. */
function loneDots(places, stretches) {
  const drawn = places.filter(Boolean);
  const apart = drawn.length > 1 ? (drawn.at(-1).x - drawn[0].x) / (drawn.length - 1) : Infinity;
  if (apart >= DOTS_FROM_APART) return places.map(() => true);
  const reached = new Set();
  for (const { from, to, kind } of stretches) {
    const itself = from.at === to.at && from.index === to.index;
    if (kind !== "well" || itself || !places[from.index] || !places[to.index]) continue;
    reached.add(from.index).add(to.index);
  }
  return places.map((_, index) => !reached.has(index));
}
