// Where a chart's line is solid, dashed or absent. Times are Unix seconds of the server's clock.
//
// A line is drawn where the source is known to have been well. Of that there are two kinds of evidence: each message
// is a fetch that went well, and each look at /feeds says when the source last confirmed its value, which sends no
// message when nothing changed (a 304, or a version that `dedupe` knew). Between two confirmations, at most 2.5 fetch
// intervals apart, the source counts as well. Across longer silence, the first of these that holds decides:
//
// 1. A look found the source unconfirmed in between: a gap.
// 2. One end is a look, and looks missed nothing longer than their own distance: well.
// 3. The feed has a message for nearly each fetch, so that silence is the absence of fetches: a gap.
// 4. Nobody can know from here, as before the page was opened: "unknown", drawn dashed and as a step, since the
//    value was this one until the next message whether or not anybody asked.

/** Longest silence that is no gap. Timestamps are whole seconds: one more may be rounding. */
export function longestSilence(fetchSeconds) {
  return 2.5 * fetchSeconds + 1;
}

const FEWEST_SILENCES = 5;
const NEARLY_ALL = 0.9;

/** Whether a feed's messages come with nearly every fetch. */
export function speaksWithEachFetch(times, fetchSeconds) {
  if (times.length <= FEWEST_SILENCES) return false;
  let prompt = 0;
  for (let n = 1; n < times.length; n += 1) if (times[n] - times[n - 1] <= 1.5 * fetchSeconds + 1) prompt += 1;
  return prompt / (times.length - 1) >= NEARLY_ALL;
}

/**
 * The stretches between confirmations, as { from, to, kind }; ends are { at, index }, where `index` is the message that
 * holds then, and `kind` is "well", "unknown" or "gap".
 *
 * `times` of messages, `rows` of looks that found the source well, { from, to } each, and `missed` (when looks found it
 * unconfirmed for too long) ascend; `lookSeconds` is the time from one look to the next.
 */
export function stretches({ times, rows, missed, fetchSeconds, lookSeconds }) {
  const silence = longestSilence(fetchSeconds);
  const betweenLooks = longestLook(fetchSeconds, lookSeconds);
  const talkative = speaksWithEachFetch(times, fetchSeconds);
  const found = [];
  let before = null;
  let [nextMissed, row] = [0, 0];
  for (const end of confirmations(times, rows)) {
    if (before) {
      const apart = end.at - before.at;
      while (missed[nextMissed] <= before.at) nextMissed += 1;
      while (rows[row]?.to < end.at) row += 1;
      let kind = "unknown";
      if (apart <= silence || rows[row]?.from <= before.at) kind = "well";
      else if (missed[nextMissed] < end.at) kind = "gap";
      else if ((before.look || end.look) && apart <= betweenLooks) kind = "well";
      else if (talkative) kind = "gap";
      found.push({ from: before, to: end, kind });
    }
    before = end;
  }
  return found;
}

/** Longest time between confirmations told by looks that follow each other. */
export function longestLook(fetchSeconds, lookSeconds) {
  return Math.max(longestSilence(fetchSeconds), 2.5 * lookSeconds);
}

function confirmations(times, rows) {
  const looks = rows.flatMap(({ from, to }) => (from === to ? [from] : [from, to]));
  const all = [];
  let next = 0;
  const lookBefore = (time, index) => {
    for (; looks[next] < time; next += 1) all.push({ at: looks[next], index, look: true });
  };
  times.forEach((at, index) => {
    // Before the first message there is no value to draw.
    if (index > 0) lookBefore(at, index - 1);
    else while (looks[next] < at) next += 1;
    all.push({ at, index, look: false });
  });
  if (times.length > 0) lookBefore(Infinity, times.length - 1);
  return all;
}
