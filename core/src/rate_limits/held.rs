//! What a process holds of one bucket that others share: cells taken ahead, or the knowledge that it is empty.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::{RateLimit, Taken};

/// Cells taken ahead lapse after this part of the period, within [`LIVES`].
const LIFE_PART: u32 = 10;
const LIVES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));
/// At most this part of a full bucket is taken ahead.
const CHUNK_PART: u32 = 100;
/// An empty bucket is asked again after this time at the latest, since Redis may have been emptied itself.
const LONGEST_BELIEF: Duration = Duration::from_secs(1);

/// What the script answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) cells: u32,
    pub(super) left: u32,
    /// Until there is a cell again; zero when all that were wanted were granted.
    pub(super) wait: Duration,
    pub(super) full_in: Duration,
}

/// One process's part of a bucket.
pub(super) struct Held {
    cells: u32,
    lapses_at: Instant,
    left: u32,
    full_at: Instant,
    /// When there is a cell again.
    empty_until: Instant,
    believed_until: Instant,
    chunk: u32,
    largest_chunk: u32,
    life: Duration,
}

impl Held {
    pub(super) fn new(limit: &RateLimit, now: Instant) -> Self {
        Self {
            cells: 0,
            lapses_at: now,
            left: 0,
            full_at: now,
            empty_until: now,
            believed_until: now,
            chunk: 1,
            largest_chunk: (limit.count.get() / CHUNK_PART).max(1),
            life: (limit.per / LIFE_PART).clamp(LIVES.0, LIVES.1),
        }
    }

    /// Serves a request from what is held; `None` when Redis has to be asked.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken> {
        if self.cells > 0 && now < self.lapses_at {
            self.cells -= 1;
            let remaining = self.left + self.cells;
            return Some(Taken::Allowed { remaining, full_in: self.full_at.saturating_duration_since(now) });
        }
        (now < self.empty_until.min(self.believed_until))
            .then(|| Taken::Refused { retry_in: self.empty_until.saturating_duration_since(now) })
    }

    /// Takes back a cell whose request went away.
    pub(super) fn give_back(&mut self) {
        self.cells += 1;
    }

    /// How many cells to ask for, with so many requests waiting. Only who keeps using them up in time gets more
    /// than it asked for, so that a rare visitor wastes none.
    pub(super) fn want(&mut self, waiting: u32, now: Instant) -> u32 {
        let used_up = self.cells == 0 && now < self.lapses_at;
        self.chunk = if used_up { (self.chunk * 2).min(self.largest_chunk) } else { 1 };
        self.chunk.max(waiting)
    }

    /// Notes what was granted.
    pub(super) fn granted(&mut self, grant: Grant, now: Instant) {
        // What a request that went away gave back meanwhile was granted, too.
        let kept = if now < self.lapses_at { self.cells } else { 0 };
        self.cells = kept + grant.cells;
        self.lapses_at = now + self.life;
        self.left = grant.left;
        self.full_at = now + grant.full_in;
        self.empty_until = now + grant.wait;
        self.believed_until = now + grant.wait.min(LONGEST_BELIEF);
    }

    /// Nothing would be lost with it.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        (self.cells == 0 || now >= self.lapses_at) && now >= self.empty_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn held(count: u32) -> (Held, Instant) {
        let now = Instant::now();
        let count = std::num::NonZeroU32::new(count).expect("not zero");
        (Held::new(&RateLimit { name: "x", count, per: Duration::from_secs(1) }, now), now)
    }

    fn grant(cells: u32, left: u32) -> Grant {
        Grant { cells, left, wait: Duration::ZERO, full_in: 500 * MS }
    }

    #[test]
    fn who_uses_its_cells_up_in_time_gets_twice_as_many_up_to_a_hundredth() {
        let (mut held, now) = held(500);
        let mut asked = Vec::new();
        for _ in 0..5 {
            let want = held.want(1, now);
            asked.push(want);
            held.granted(grant(want, 100), now);
            while held.take(now).is_some() {}
        }
        assert_eq!(asked, [1, 2, 4, 5, 5]);
        assert_eq!(held.want(1, now + 100 * MS), 1, "who paused begins anew");
    }

    #[test]
    fn what_was_given_back_is_not_lost_to_the_next_grant() {
        let (mut held, now) = held(500);
        held.granted(grant(1, 90), now);
        assert!(held.take(now).is_some());
        held.give_back();
        held.granted(grant(1, 89), now);
        assert!(held.take(now).is_some() && held.take(now).is_some());
        held.give_back();
        held.granted(grant(1, 88), now + 200 * MS);
        assert!(held.take(now + 200 * MS).is_some());
        assert_eq!(held.take(now + 200 * MS), None, "what had lapsed is gone");
    }

    #[test]
    fn requests_that_wait_are_all_asked_for_at_once() {
        let (mut held, now) = held(10);
        assert_eq!(held.want(7, now), 7);
    }

    #[test]
    fn cells_lapse_and_what_is_left_counts_down() {
        let (mut held, now) = held(500);
        held.granted(grant(3, 90), now);
        let left = |taken| match taken {
            Some(Taken::Allowed { remaining, full_in }) => Some((remaining, full_in)),
            _ => None,
        };
        assert_eq!(left(held.take(now)), Some((92, 500 * MS)));
        assert_eq!(left(held.take(now + 99 * MS)), Some((91, 401 * MS)));
        assert!(!held.is_idle(now + 99 * MS));
        assert_eq!(held.take(now + 100 * MS), None);
        assert!(held.is_idle(now + 100 * MS));
    }

    #[test]
    fn an_empty_bucket_is_not_asked_again_until_it_has_a_cell_or_a_second_has_passed() {
        let (mut held, now) = held(500);
        held.granted(Grant { cells: 1, left: 0, wait: 5_000 * MS, full_in: 9_000 * MS }, now);
        assert!(matches!(held.take(now), Some(Taken::Allowed { remaining: 0, .. })));
        assert_eq!(held.take(now + 999 * MS), Some(Taken::Refused { retry_in: 4_001 * MS }));
        assert_eq!(held.take(now + 1_000 * MS), None);
        held.granted(Grant { cells: 0, left: 0, wait: 2 * MS, full_in: 500 * MS }, now);
        assert_eq!(held.take(now + MS), Some(Taken::Refused { retry_in: MS }));
        assert_eq!(held.take(now + 2 * MS), None);
    }
}
