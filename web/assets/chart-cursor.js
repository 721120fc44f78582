// Which point of a chart the reader looks at: with a mouse or a finger the nearest one, with the keyboard from point to
// point. To assistive technology the chart is a slider over its points, which says the time and value of each.

import { svg } from "./chart.js";
import { nearest } from "./scales.js";

const PAGE = 10; // points

export class ChartCursor {
  #frame; // the focusable element around the chart
  #tip;
  #line = svg("line", { class: "cursor" });
  #dot = svg("circle", { class: "here", r: 5 });
  #shown = []; // { x, y, point }, what can be looked at
  #area = null;
  #chosen = null; // the point itself: its index changes as older ones go
  #follows = true; // the newest, as long as it is the chosen one
  #visible = false;

  /** `describe(point)`: what to say of a point, { time, text }. */
  constructor(frame, root, tip, describe) {
    this.#frame = frame;
    this.#tip = tip;
    this.describe = describe;
    root.append(this.#line, this.#dot);
    frame.addEventListener("pointermove", (event) => this.#point(event));
    frame.addEventListener("pointerdown", (event) => this.#point(event));
    // A finger that is lifted leaves what it showed until it touches elsewhere.
    frame.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || this.#hide());
    frame.addEventListener("focus", () => frame.matches(":focus-visible") && this.#show());
    frame.addEventListener("blur", () => this.#hide());
    frame.addEventListener("keydown", (event) => this.#key(event));
    this.#show(false);
  }

  /** Takes what was drawn: points, where they are, and the area; `looked(point)` says which can be looked at. */
  moveTo(points, { places, area }, looked) {
    this.#area = area;
    this.#shown = points.flatMap((point, n) => (places[n] && looked(point) ? [{ ...places[n], point }] : []));
    const gone = !this.#shown.some(({ point }) => point.key === this.#chosen?.key);
    if (this.#follows || gone) this.#chosen = (this.#follows ? this.#shown.at(-1) : this.#shown[0])?.point ?? null;
    this.#show(this.#visible, document.activeElement !== this.#frame);
  }

  #point(event) {
    if (this.#shown.length === 0) return;
    const x = event.clientX - this.#frame.getBoundingClientRect().left;
    this.#choose(nearest(this.#shown.map((shown) => shown.x), x));
  }

  #key(event) {
    const last = this.#shown.length - 1;
    const now = this.#shown.findIndex(({ point }) => point.key === this.#chosen?.key);
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -PAGE, PageUp: PAGE, Home: -last, End: last };
    if (event.key === "Escape") this.#hide();
    if (!(event.key in steps) || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#choose(Math.min(last, Math.max(0, now + steps[event.key])));
  }

  #choose(index) {
    this.#chosen = this.#shown[index].point;
    this.#follows = index === this.#shown.length - 1;
    this.#show();
  }

  #hide() {
    this.#show(false);
  }

  /** `tells`: whether to tell assistive technology, which reads out each change of a slider that has the focus. */
  #show(visible = true, tells = true) {
    const index = this.#shown.findIndex(({ point }) => point.key === this.#chosen?.key);
    this.#visible = visible;
    const drawn = visible && index >= 0;
    for (const element of [this.#line, this.#dot]) element.setAttribute("visibility", drawn ? "visible" : "hidden");
    this.#tip.hidden = !drawn;
    const { x, y, point } = this.#shown[index] ?? {};
    const { time, text } = point ? this.describe(point) : {};
    if (tells) {
      this.#frame.setAttribute("aria-valuemax", Math.max(0, this.#shown.length - 1));
      this.#frame.setAttribute("aria-valuenow", Math.max(0, index));
      this.#frame.setAttribute("aria-valuetext", point ? `${time}: ${text}` : "no value yet");
    }
    if (!drawn) return;
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: this.#area.top, y2: this.#area.bottom })) {
      this.#line.setAttribute(name, value);
    }
    this.#dot.setAttribute("cx", x);
    this.#dot.setAttribute("cy", y);
    const [said, when] = this.#tip.children;
    said.textContent = text;
    when.textContent = time;
    // Beside the point, on the side that has more room, never over it nor out of the frame.
    const width = this.#tip.offsetWidth;
    const beside = x > this.#frame.clientWidth / 2 ? x - width - 12 : x + 12;
    this.#tip.style.left = `${Math.min(Math.max(0, beside), Math.max(0, this.#frame.clientWidth - width))}px`;
  }
}
