//! The rhythm of a feed's own stream: changes at once, the latest message on a beat, or both.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::Frame;

/// No beat is rarer, so that its instants can be counted.
const RAREST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How a feed's own stream is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Messages as they come.
    Changes,
    /// Messages as they come, and on each beat the latest again.
    Repeats(Duration),
    /// On each beat, and only then, the latest message; one that was sent before only where `again` is set.
    Beats { every: Duration, again: bool },
}

/// The fixed instants of a beat.
#[derive(Debug)]
struct Beat {
    every: Duration,
    next: Instant,
}

/// Where a viewer stands in its pace.
#[derive(Debug)]
pub(super) struct Rhythm {
    pace: Pace,
    beat: Option<Beat>,
    /// The message to repeat, once that is known; within it `None` when there is none.
    latest: Option<Option<Arc<Frame>>>,
}

impl Rhythm {
    /// Begins now.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        let every = match pace {
            Pace::Changes => None,
            Pace::Repeats(every) | Pace::Beats { every, .. } => Some(every.min(RAREST)),
        };
        Self { pace, beat: every.map(|every| Beat { every, next: now + every }), latest: None }
    }

    /// Whether nothing is sent between beats.
    pub(super) const fn only_beats(&self) -> bool {
        matches!(self.pace, Pace::Beats { .. })
    }

    /// Whether a message that was sent before is sent again.
    pub(super) const fn repeats(&self) -> bool {
        matches!(self.pace, Pace::Repeats(_) | Pace::Beats { again: true, .. })
    }

    /// The next beat, if there are any.
    pub(super) fn next(&self) -> Option<Instant> {
        self.beat.as_ref().map(|beat| beat.next)
    }

    /// Whether a beat is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// Marks the beat as done, if one was due. The next one is on the grid that began with the stream, so that no
    /// delay adds up; those that were missed are skipped.
    pub(super) fn pass(&mut self, now: Instant) {
        if let Some(beat) = self.beat.as_mut().filter(|beat| beat.next <= now) {
            let missed = now.duration_since(beat.next).as_nanos() / beat.every.as_nanos().max(1);
            beat.next += beat.every * u32::try_from(missed).unwrap_or(u32::MAX - 1).saturating_add(1);
        }
    }

    /// What is repeated from now on: the message that was sent last.
    pub(super) fn keep(&mut self, latest: Option<Arc<Frame>>) {
        self.latest = Some(latest);
    }

    /// What [`keep`](Self::keep) was told.
    pub(super) fn kept(&self) -> Option<Option<Arc<Frame>>> {
        self.latest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn beats_stay_on_their_grid_and_late_ones_are_skipped() {
        let begun = Instant::now();
        let mut rhythm = Rhythm::new(Pace::Repeats(SECOND), begun);
        let mut due_at = |ms: u64| {
            let now = begun + Duration::from_millis(ms);
            let due = rhythm.is_due(now);
            rhythm.pass(now);
            (due, rhythm.next().map(|next| next.duration_since(begun).as_millis()))
        };
        assert_eq!(due_at(999), (false, Some(1_000)));
        assert_eq!(due_at(1_040), (true, Some(2_000)), "a late beat does not delay the next");
        assert_eq!(due_at(2_000), (true, Some(3_000)));
        assert_eq!(due_at(6_500), (true, Some(7_000)), "one for all that were missed");
        assert_eq!(due_at(6_999), (false, Some(7_000)));
    }

    #[test]
    fn without_a_beat_nothing_is_ever_due() {
        let begun = Instant::now();
        let rhythm = Rhythm::new(Pace::Changes, begun);
        assert!(!rhythm.is_due(begun + SECOND * 1_000_000) && rhythm.next().is_none());
        assert!(!rhythm.repeats() && !rhythm.only_beats());
    }

    #[test]
    fn no_beat_is_too_rare_or_too_fast_to_be_counted() {
        let begun = Instant::now();
        assert!(Rhythm::new(Pace::Repeats(Duration::MAX), begun).next().is_some());
        let mut fast = Rhythm::new(Pace::Beats { every: Duration::ZERO, again: true }, begun);
        fast.pass(begun + SECOND);
        assert!(fast.only_beats() && fast.repeats());
    }
}
