// Where a chart puts values, times and ticks. Run by `make clients`.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Kolkata"; // half an hour off: ticks on full UTC hours would show

const { linear, nearest, numberTicks, timeStep, timeTicks, valueRange } = await import("../assets/scales.js");

test("a scale maps ends onto ends, upside down too", () => {
  const y = linear([10, 20], [100, 0]);
  assert.deepEqual([10, 15, 20].map(y), [100, 50, 0]);
  assert.equal(linear([5, 5], [0, 100])(5), 50);
});

test("an axis shows all values and a little more, and a flat line in the middle", () => {
  const [low, high] = valueRange([3, -1, 7]);
  assert.ok(low < -1 && low > -2 && high > 7 && high < 8, `${low} ${high}`);
  for (const flat of [0, 5, -73838.87]) {
    const [low, high] = valueRange([flat, flat]);
    assert.ok(low < flat && flat < high && Math.abs(low + high - 2 * flat) < 1e-6, `${flat}: ${low} ${high}`);
  }
  assert.deepEqual(valueRange([]), [0, 1]);
});

test("ticks of numbers are round, in range, evenly apart and not too many", () => {
  for (const range of [[0, 1], [73_362.1, 73_903.2], [-3.2, 0.4], [1e-7, 9e-7], [-5e9, 2e10], [99.995, 100.005]]) {
    for (const most of [2, 4, 8]) {
      const ticks = numberTicks(range, most);
      assert.ok(ticks.length >= 1 && ticks.length <= most + 1, `${range} ${most}: ${ticks.length}`);
      for (const { at, step, digits } of ticks) {
        assert.ok(at >= range[0] - step * 1e-6 && at <= range[1] + step * 1e-6, `${at} in ${range}`);
        assert.match(step.toExponential(), /^(1|2|5)e/);
        assert.equal(Number(at.toFixed(digits)), at, "its digits tell it from its neighbours");
      }
      const texts = new Set(ticks.map(({ at, digits }) => at.toFixed(digits)));
      assert.equal(texts.size, ticks.length);
    }
  }
  assert.deepEqual(numberTicks([0, 1], 5).map(({ at }) => at), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(numberTicks([-3, 3], 4).map(({ at }) => at), [-2, 0, 2]);
  assert.ok(!Object.is(numberTicks([-1, 1], 2)[1].at, -0), "zero is not written -0");
});

test("ticks of time stand on full local seconds, minutes, hours and days", () => {
  const at = (text) => Date.parse(text) / 1000;
  const range = [at("2026-11-21T10:03:07Z"), at("2026-11-21T16:03:07Z")];
  const local = (ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, 8));
  assert.equal(timeStep(range, 6), 3_600);
  assert.deepEqual(local(timeTicks(range, 3_600)), ["16:00:00", "17:00:00", "18:00:00", "19:00:00", "20:00:00", "21:00:00"]);
  const minute = [range[0], range[0] + 60];
  assert.equal(timeStep(minute, 4), 15);
  assert.deepEqual(local(timeTicks(minute, 15)), ["15:33:15", "15:33:30", "15:33:45", "15:34:00"]);
  const days = timeTicks([range[0], range[0] + 3 * 86_400], 86_400);
  assert.deepEqual(local(days), ["00:00:00", "00:00:00", "00:00:00"]);
});

test("the nearest time is found at both ends, in between and in ties", () => {
  const times = [10, 20, 20, 40];
  for (const [at, index] of [[-5, 0], [10, 0], [14, 0], [16, 1], [31, 3], [29, 2], [99, 3]]) {
    assert.equal(nearest(times, at), index, `${at}`);
  }
  assert.equal(nearest(times, 15), 0, "the earlier of two that are as near");
  assert.equal(nearest([], 5), -1);
});
