// Where a feed's line is solid, unknown or absent, and what a series keeps. Run by `make clients`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { longestSilence, speaksWithEachFetch, stretches } from "../assets/gaps.js";
import { LOOK_SECONDS, MOST_POINTS, Series } from "../assets/series.js";

const kinds = (evidence) =>
  stretches({ rows: [], missed: [], fetchSeconds: 2, lookSeconds: 3, ...evidence }).map(({ from, to, kind }) => [from.at, to.at, kind]);
const alone = (at) => ({ from: at, to: at });
const every = (seconds, from, count) => Array.from({ length: count }, (_, n) => from + n * seconds);

test("messages up to two and a half intervals apart are one line", () => {
  assert.equal(longestSilence(2), 6);
  assert.deepEqual(kinds({ times: [0, 6] }), [[0, 6, "well"]]);
  assert.deepEqual(kinds({ times: [0, 7] }), [[0, 7, "unknown"]]);
});

test("silence of a feed that speaks with each fetch is a gap, that of one that does not is unknown", () => {
  const talkative = [...every(2, 0, 12), ...every(2, 60, 12)];
  assert.ok(speaksWithEachFetch(talkative, 2));
  assert.deepEqual(kinds({ times: talkative }).filter(([, , kind]) => kind !== "well"), [[22, 60, "gap"]]);
  const quiet = every(20, 0, 12);
  assert.ok(!speaksWithEachFetch(quiet, 2));
  assert.deepEqual(new Set(kinds({ times: quiet }).map(([, , kind]) => kind)), new Set(["unknown"]));
  assert.ok(!speaksWithEachFetch([0, 2, 4], 2), "too few to know");
});

test("looks that find the source well bridge the silence of one that has nothing new", () => {
  const looked = kinds({ times: [0, 30], rows: [...every(3, 2, 5).map(alone), { from: 17, to: 29 }] });
  assert.equal(looked.length, 8);
  assert.ok(looked.every(([, , kind]) => kind === "well"), JSON.stringify(looked));
  // Also of one that mostly speaks: it is asked and has nothing to say.
  const times = [...every(1, 0, 30), 60];
  const silent = kinds({ times, rows: every(3, 31, 10).map(alone), fetchSeconds: 0.2 });
  assert.ok(silent.every(([, , kind]) => kind === "well"), JSON.stringify(silent));
});

test("a look that finds none is a gap, whatever kind of feed it is", () => {
  assert.deepEqual(kinds({ times: [0, 30], rows: [alone(2)], missed: [20] }), [[0, 2, "well"], [2, 30, "gap"]]);
  // One miss explains one silence, not the next.
  assert.deepEqual(kinds({ times: [0, 30, 60], missed: [20] }).map(([, , kind]) => kind), ["gap", "unknown"]);
});

test("a stretch names the message that holds at either end", () => {
  const found = stretches({ times: [0, 5], rows: [-3, 2, 4, 6].map(alone), missed: [], fetchSeconds: 2, lookSeconds: 3 });
  assert.deepEqual(found.map(({ from, to }) => [from.index, to.index]), [[0, 0], [0, 0], [0, 1], [1, 1]]);
  // A timestamp is a whole second: a look may have seen the value before at a later instant of it.
  assert.deepEqual(kinds({ times: [0, 50], rows: [{ from: 1, to: 50.6 }] }).map(([, , kind]) => kind), ["well", "well", "well"]);
  assert.deepEqual(kinds({ times: [], rows: [{ from: 1, to: 2 }] }), []);
});

const message = (n, at, data = n) => ({ id: `e:${n}`, timestamp: at, data });

test("a series has each message once, whichever way it came, and the newest thousand", () => {
  const series = new Series(1);
  assert.ok(series.add(message(3, 103)));
  assert.ok(!series.add(message(3, 103)));
  series.add(message(4, 104));
  series.replace([message(1, 101), message(2, 102), message(3, 103)]);
  assert.deepEqual(series.points.map(({ at }) => at), [101, 102, 103, 104]);
  assert.ok(!series.add(message(4, 104)), "what stayed is known");
  assert.ok(!series.add(message(0, 100)), "what is older than the newest comes in no order");
  for (let n = 5; n < MOST_POINTS + 10; n += 1) series.add(message(n, 100 + n));
  assert.equal(series.points.length, MOST_POINTS);
  assert.deepEqual([series.points[0].at, series.latest.at], [110, 1109]);
});

test("a history with other ids takes the place of what it repeats", () => {
  const series = new Series(1);
  for (const n of [1, 2, 3]) series.add(message(n, 100 + n));
  const renamed = (n) => ({ ...message(n, 100 + n), id: `f:${n}` });
  series.add(message(9, 103, "same second"));
  series.replace([renamed(1), renamed(2), renamed(3)]);
  assert.deepEqual(series.points.map(({ key }) => key), ["f:1", "f:2", "f:3", "e:9"]);
});

test("messages without an id are told by time and data", () => {
  const series = new Series(1);
  assert.ok(series.add({ timestamp: 1, data: { a: 1 } }));
  assert.ok(series.add({ timestamp: 1, data: { a: 2 } }));
  assert.ok(!series.add({ timestamp: 1, data: { a: 2 } }));
});

test("looks without news are kept as a span, and still say where the source was away", () => {
  const series = new Series(2);
  series.add(message(1, 100));
  for (let now = 101; now <= 160; now += LOOK_SECONDS) series.look(now - 0.5, now);
  assert.equal(series.confirmedAt, 157.5);
  assert.ok(series.stretches().every(({ kind }) => kind === "well"));
  for (let now = 161; now <= 190; now += LOOK_SECONDS) series.look(157.5, now);
  assert.equal(series.confirmedAt, 157.5, "a look confirms nothing by itself");
  assert.ok(series.isSilent(190) && !series.isSilent(160));
  series.look(191, 191);
  series.add(message(2, 192));
  const gaps = series.stretches().filter(({ kind }) => kind !== "well");
  assert.deepEqual(gaps.map(({ from, to, kind }) => [from.at, to.at, kind]), [[157.5, 191, "gap"]]);
});

test("a long watch over a source without news stays small and solid", () => {
  const series = new Series(1);
  series.add(message(1, 1000));
  for (let now = 1001; now < 20_000; now += LOOK_SECONDS) series.look(now, now);
  const found = series.stretches();
  assert.ok(found.length < 5, `${found.length} stretches`);
  assert.ok(found.every(({ kind }) => kind === "well"), JSON.stringify(found));
});

test("a window begins with the oldest point, is never too short, and ends now", () => {
  const series = new Series(1);
  assert.deepEqual(series.window(1000), [940, 1000]);
  series.add(message(1, 990));
  assert.deepEqual(series.window(1000), [940, 1000]);
  assert.deepEqual(series.window(2000), [990, 2000]);
  assert.deepEqual(new Series(10).window(1000), [760, 1000]);
});
