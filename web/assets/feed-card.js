// One feed's card. What comes in only changes what is known; drawing happens at most once per animation frame, and while
// the card is out of sight only with each look at the feeds: its words can be read without being seen.

import { Chart } from "./chart.js";
import { ChartCursor } from "./chart-cursor.js";
import { offerCopy } from "./copying.js";
import { age, duration, exactNumber, leafText, timeText } from "./format.js";
import { leaves, numberAt, numberPaths, pathText, plottedFirst } from "./number-paths.js";
import { inWords } from "./reasons.js";
import { Series } from "./series.js";

const MOST_FIELDS = 12;
const FLASH_MS = 900;
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

export class FeedCard {
  series;
  #feed; // as GET /feeds tells it
  #parts = {};
  #chart;
  #cursor;
  #path = undefined; // of the plotted number; null when there is none, undefined before there is a value
  #pathTexts = "";
  #shownKey = undefined; // of the value that the card shows, null for none
  #inSight = false;
  #frameRequested = false;
  #serverNow;

  /** `serverNow`: gives the server's time in Unix seconds. */
  constructor(template, feed, serverNow) {
    this.#feed = feed;
    this.#serverNow = serverNow;
    this.series = new Series(feed.fetchSeconds);
    this.element = template.content.firstElementChild.cloneNode(true);
    for (const part of this.element.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    const { name, chart, svg, tip, paths, curl, copy, summary } = this.#parts;
    this.element.dataset.feed = feed.name;
    name.textContent = feed.name;
    name.id = `feed-${feed.name}`;
    this.element.setAttribute("aria-labelledby", name.id);
    summary.id = `summary-${feed.name}`;
    chart.setAttribute("aria-describedby", summary.id);
    curl.textContent = `curl -N ${location.origin}/feeds/${encodeURIComponent(feed.name)}/stream`;
    offerCopy(copy, curl);
    copy.setAttribute("aria-label", `Copy the command for ${feed.name}`);
    this.#chart = new Chart(svg);
    this.#cursor = new ChartCursor(chart, svg, tip, (point) => this.#describe(point));
    paths.addEventListener("change", () => {
      this.#path = JSON.parse(paths.value);
      this.redraw();
    });
    new ResizeObserver(() => this.redraw()).observe(chart);
    new IntersectionObserver((entries) => {
      this.#inSight = entries.at(-1).isIntersecting;
      this.redraw();
    }).observe(this.element);
  }

  /** Takes a message of the feed, { id, timestamp, data }. */
  message(message) {
    if (this.series.add(message)) this.redraw();
  }

  /** Takes the feed's messages of before, oldest first. */
  history(messages) {
    this.series.replace(messages);
    this.redraw();
  }

  /** Takes what GET /feeds says of the feed. */
  look(feed) {
    this.#feed = feed;
    this.series.fetchSeconds = feed.fetchSeconds;
    this.series.look(feed.checkedAt === null ? null : Date.parse(feed.checkedAt) / 1000, this.#serverNow());
    // The stream brings every value; where it is refused or blocked, the latest is here.
    if (feed.value) this.series.add({ id: feed.id, ...feed.value });
    this.redraw(true);
  }

  /** Since when the source is unconfirmed, in Unix seconds, or null while it is well. */
  get staleSince() {
    const { confirmedAt } = this.series;
    if (confirmedAt === null) return null;
    return this.#feed.stale || this.series.isSilent(this.#serverNow()) ? confirmedAt : null;
  }

  /** How the feed is, in words for the ear. */
  get state() {
    const { name, failure } = this.#feed;
    const why = failure ? `, ${inWords(failure.reason)}` : "";
    return this.staleSince === null ? `${name} is up to date.` : `${name} is stale${why}.`;
  }

  /** The chart in words. */
  get inWords() {
    return `${this.#feed.name}: ${this.#parts.summary.textContent}`;
  }

  redraw(evenUnseen = false) {
    if (this.#frameRequested || !(this.#inSight || evenUnseen)) return;
    this.#frameRequested = true;
    requestAnimationFrame(() => {
      this.#frameRequested = false;
      this.#draw();
    });
  }

  #draw() {
    const now = this.#serverNow();
    const { latest } = this.series;
    if (latest) this.#offerPaths(latest);
    this.#drawValue(latest);
    this.#drawState(latest, now);
    this.#drawChart(now);
  }

  /** The numbers that can be plotted, as the newest value has them. */
  #offerPaths({ at, data }) {
    const paths = numberPaths(data);
    const texts = JSON.stringify(paths);
    if (texts === this.#pathTexts) return;
    this.#pathTexts = texts;
    // What the reader chose stays chosen while it is there.
    const chosen = JSON.stringify(this.#path);
    if (!paths.some((path) => JSON.stringify(path) === chosen)) this.#path = plottedFirst(data, at);
    const { choice, paths: select } = this.#parts;
    select.replaceChildren(...paths.map((path) => new Option(pathText(path), JSON.stringify(path))));
    select.value = JSON.stringify(this.#path);
    choice.hidden = paths.length < 2;
  }

  #drawValue(latest) {
    const key = latest && `${latest.key} ${JSON.stringify(this.#path)}`;
    if (key === this.#shownKey) return;
    const { latest: line, number, path, fields } = this.#parts;
    const plotted = latest && this.#path ? numberAt(latest.data, this.#path) : null;
    const before = number.textContent;
    line.hidden = latest !== null && plotted === null;
    number.textContent = latest ? exactNumber(plotted ?? 0) : "No value yet";
    path.textContent = plotted !== null && this.#path.length > 0 ? pathText(this.#path) : "";
    const others = latest ? leaves(latest.data).filter((leaf) => plotted === null || pathText(leaf.path) !== pathText(this.#path)) : [];
    fields.replaceChildren(...others.slice(0, MOST_FIELDS).map(field));
    if (others.length > MOST_FIELDS) fields.append(field({ path: ["…"], value: `${others.length - MOST_FIELDS} more` }));
    const changed = this.#shownKey && before !== number.textContent;
    if (changed && !stillness.matches) number.animate([{ color: "var(--signal)", offset: 0 }], FLASH_MS);
    this.#shownKey = key;
  }

  #drawState(latest, now) {
    const { badge, failure: notice, fetched, age: confirmed, interval } = this.#parts;
    const { failure, restsUntil, fetchSeconds } = this.#feed;
    const stale = this.staleSince;
    this.element.classList.toggle("is-stale", stale !== null);
    badge.hidden = stale === null;
    write(badge, stale === null ? "" : `stale, ${age(now - stale)}`);
    const rests = restsUntil && Date.parse(restsUntil) / 1000 > now;
    notice.hidden = !failure && !rests;
    const words = [];
    if (failure) {
      const often = failure.inRow > 1 ? `${failure.inRow} times in a row, last` : "once,";
      words.push(`${capital(inWords(failure.reason))} (${often} at ${timeText(Date.parse(failure.at) / 1000, now)}): ${failure.message}`);
    }
    if (rests) words.push(`The source is left alone until ${timeText(Date.parse(restsUntil) / 1000, now)}.`);
    write(notice, words.map((text) => (/[.!?]$/.test(text) ? text : `${text}.`)).join(" "));
    write(fetched, latest ? timeText(latest.at, now) : "never");
    const { confirmedAt } = this.series;
    write(confirmed, confirmedAt === null ? "never" : `${age(now - confirmedAt)} ago`);
    write(interval, duration(fetchSeconds));
  }

  #drawChart(now) {
    const { chart, legend, summary } = this.#parts;
    const numeric = Boolean(this.#path);
    let before = null;
    const points = this.series.points.map((point) => {
      const text = numeric ? "" : JSON.stringify(point.data);
      const changed = text !== before;
      before = text;
      return { ...point, value: numeric ? numberAt(point.data, this.#path) : null, changed };
    });
    const stretches = this.series.stretches();
    const width = chart.clientWidth;
    if (width === 0) return;
    const drawn = this.#chart.draw({
      width,
      points,
      numeric,
      stretches,
      range: this.series.window(now),
      stale: this.staleSince,
    });
    this.#cursor.moveTo(points, drawn, (point) => numeric || point.changed);
    const kinds = new Set(stretches.map(({ kind }) => kind));
    const signs = [];
    if (this.staleSince !== null || kinds.has("gap")) signs.push("Shaded: the source was not confirmed.");
    if (kinds.has("unknown")) signs.push("Dashed: unchanged or not fetched, which can not be told from here.");
    legend.hidden = signs.length === 0;
    write(legend, signs.join(" "));
    chart.setAttribute("aria-label", `${this.#feed.name}, ${numeric ? pathText(this.#path) : "changes"} over time`);
    write(summary, numeric ? this.#numbersInWords(points) : this.#changesInWords(points, now));
  }

  #numbersInWords(points) {
    const values = points.map(({ value }) => value).filter((value) => value !== null);
    if (values.length === 0) return "No value yet.";
    const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const span = points.length > 1 ? ` in ${duration(points.at(-1).at - points[0].at)}` : "";
    const count = values.length === 1 ? "one value" : `${values.length.toLocaleString()} values`;
    return `Latest ${exactNumber(values.at(-1))}, lowest ${exactNumber(low)}, highest ${exactNumber(high)}: ${count}${span}.`;
  }

  #changesInWords(points, now) {
    if (points.length === 0) return "No value yet.";
    const changes = points.filter(({ changed }) => changed);
    const messages = points.length === 1 ? "one message" : `${points.length.toLocaleString()} messages`;
    // The first one shown need not be a change: what was before it is not known.
    const times = changes.length - 1;
    if (times === 0) return `The same value in ${messages} since ${timeText(points[0].at, now)}.`;
    return `${times === 1 ? "One change" : `${times.toLocaleString()} changes`} in ${messages}, the last at ${timeText(changes.at(-1).at, now)}.`;
  }

  #describe({ at, data, value }) {
    const fields = () => leaves(data).map((leaf) => `${leaf.path.length > 0 ? `${pathText(leaf.path)} ` : ""}${leafText(leaf.value)}`);
    return { time: timeText(at, this.#serverNow()), text: value === null ? fields().join(", ") : exactNumber(value) };
  }
}

function field({ path, value }) {
  const row = document.createElement("div");
  row.append(document.createElement("dt"), document.createElement("dd"));
  row.children[0].textContent = path[0] === "…" ? "…" : pathText(path);
  row.children[1].textContent = leafText(value);
  return row;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
