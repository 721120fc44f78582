// Paths to numbers, and numbers, times and reasons in words. Run by `make clients`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { age, axisNumber, duration, exactNumber, leafText, timeText } from "../assets/format.js";
import { leaves, numberAt, numberPaths, pathText, plottedFirst } from "../assets/number-paths.js";
import { inWords } from "../assets/reasons.js";

test("numbers are found wherever they are, in the document's order", () => {
  const data = { b: 1, a: { list: [2, "3", { deep: 4 }], no: null, yes: true }, "BTC-USD": 5 };
  const paths = numberPaths(data);
  assert.deepEqual(paths.map(pathText), ["b", "a.list[0]", "a.list[2].deep", '"BTC-USD"']);
  assert.deepEqual(paths.map((path) => numberAt(data, path)), [1, 2, 4, 5]);
  assert.deepEqual(leaves(data).map(({ value }) => value), [1, 2, "3", 4, null, true, 5]);
  assert.deepEqual([numberPaths(7), pathText([])], [[[]], "value"]);
  assert.equal(numberAt(7, []), 7);
});

test("where there is no number there is none", () => {
  const data = { a: "text", list: [1] };
  for (const path of [["a"], ["a", "length"], ["b"], ["list"], ["list", "length"], ["list", "1"], ["constructor", "length"], []]) {
    assert.equal(numberAt(data, path), null, JSON.stringify(path));
  }
  assert.deepEqual(numberPaths({ a: "1", b: [] }), []);
  assert.equal(plottedFirst({ a: "1" }, 1e9), null);
});

test("a huge document offers a bounded choice", () => {
  assert.ok(numberPaths(Array.from({ length: 10_000 }, (_, n) => n)).length <= 50);
  let deep = 1;
  for (let n = 0; n < 5_000; n += 1) deep = { deep };
  assert.deepEqual(numberPaths(deep), []);
});

test("the first number that is no time is plotted first", () => {
  const now = 1_795_289_000;
  for (const unit of [1, 1e3, 1e6, 1e9]) {
    assert.deepEqual(plottedFirst({ at: (now - 5) * unit, price: 73_838.87 }, now), ["price"], `${unit}`);
  }
  assert.deepEqual(plottedFirst({ at: now }, now), ["at"], "better than nothing");
  assert.deepEqual(plottedFirst({ population: 8_300_000_000, at: now }, now), ["population"]);
});

test("numbers are told exactly", () => {
  // As digits: the separators are the reader's.
  const digits = (text) => text.replaceAll(/[^\d-]/g, "");
  assert.equal(digits(exactNumber(73_838.87)), "7383887");
  assert.equal(digits(exactNumber(0.1 + 0.2)), "030000000000000004");
  assert.equal(digits(exactNumber(-1_234_567.5)), "-12345675");
  assert.deepEqual([exactNumber(0), exactNumber(1e-9), exactNumber(1e21)], ["0", "1e-9", "1e+21"]);
  assert.deepEqual([leafText("a"), leafText(1_795_289_000), leafText(null), leafText(true)], ["a", "1795289000", "null", "true"]);
});

test("neighbouring ticks never read the same", () => {
  for (const [from, step, digits] of [[0.2, 0.2, 1], [73_400, 200, 0], [12_345_600, 100, 0], [18_400_000_000, 1e9, 0], [0.000012, 0.000002, 6]]) {
    const texts = [0, 1, 2, 3].map((n) => axisNumber({ at: from + n * step, step, digits }));
    assert.equal(new Set(texts).size, 4, texts.join(" "));
  }
});

test("durations are told in two units at most", () => {
  const told = [0, 0.5, 5, 42, 60, 185, 3_600, 7_260, 86_400, 200_000].map((seconds) => duration(seconds).replace(",", "."));
  assert.deepEqual(told, ["0 s", "0.5 s", "5 s", "42 s", "1 min", "3 min 5 s", "1 h", "2 h 1 min", "24 h", "2 days"]);
  assert.deepEqual([age(59.9), age(3.2), age(-1)], ["59 s", "3 s", "0 s"], "never older than it is");
});

test("a time of another day says which", () => {
  const now = Date.parse("2026-11-21T12:00:00") / 1000;
  assert.ok(!timeText(now - 60, now).includes("21"));
  assert.ok(timeText(now - 86_400, now).includes("20"));
  assert.ok(timeText(now - 86_400, now).endsWith(timeText(now, now)), "with the time");
});

test("every outcome that the documents name has words", async () => {
  const document = await readFile(new URL("../../docs/FEEDS.md", import.meta.url), "utf8");
  const table = document.split("| outcome |")[1].split("\n\n")[0];
  const rows = table.split("\n").slice(2).map((row) => row.split("|")[1]);
  const reasons = rows.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, reason]) => reason));
  assert.ok(reasons.length >= 15, `${reasons}`);
  for (const reason of reasons) {
    assert.notEqual(inWords(reason), reason.replaceAll("-", " "), `${reason} has no words of its own`);
  }
  assert.equal(inWords("something-new"), "something new");
});
