//! A topic's memory: the newest messages, bounded by count and age, replayed whole or not at all.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Epoch, Message, Micros, NewMessage, Position};

/// How much of a topic is kept for replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// At most this many messages.
    pub messages: usize,
    /// Nothing older than this, in microseconds.
    pub age_us: i64,
}

/// Why a place in a topic can not be replayed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The topic began a new life since.
    #[error("epoch-changed")]
    EpochChanged,
    /// The messages after it are no longer kept.
    #[error("too-old")]
    TooOld,
    /// It lies ahead of the topic.
    #[error("ahead-of-topic")]
    Ahead,
}

/// The newest messages of one topic in one epoch.
#[derive(Debug)]
pub struct Ring {
    epoch: Epoch,
    limits: RingLimits,
    messages: VecDeque<Arc<Message>>,
    /// Offset of the newest message ever appended.
    top: u64,
    /// Time of the newest message no longer kept; before the first eviction, when the ring began.
    forgotten_until: Micros,
    /// Time of the newest message: topic time never runs backwards.
    latest: Micros,
}

impl Ring {
    /// An empty ring that begins its life `now`.
    #[must_use]
    pub fn new(epoch: Epoch, limits: RingLimits, now: Micros) -> Self {
        Self { epoch, limits, messages: VecDeque::new(), top: 0, forgotten_until: now, latest: now }
    }

    /// Appends a message and forgets what the limits no longer hold.
    pub fn append(&mut self, message: NewMessage, now: Micros) -> Arc<Message> {
        self.latest = self.latest.max(now);
        self.top += 1;
        let message = Arc::new(Message { offset: self.top, at: self.latest, event: message.event, data: message.data });
        self.messages.push_back(Arc::clone(&message));
        self.evict(self.latest);
        message
    }

    /// Forgets messages over the limits as of `now`.
    pub fn evict(&mut self, now: Micros) {
        while let Some(oldest) = self.messages.front() {
            let expired = now.0.saturating_sub(oldest.at.0) > self.limits.age_us;
            if !expired && self.messages.len() <= self.limits.messages {
                break;
            }
            self.forgotten_until = oldest.at;
            self.messages.pop_front();
        }
    }

    /// The place after the newest message.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.top }
    }

    /// At most `limit` messages right after `position`, oldest first; empty when nothing is newer.
    ///
    /// # Errors
    /// [`Lost`] when any message after `position` is gone: a replay is never partial.
    pub fn after(&self, position: &Position, limit: usize) -> Result<Vec<Arc<Message>>, Lost> {
        if position.epoch != self.epoch {
            return Err(Lost::EpochChanged);
        }
        let behind = self.top.checked_sub(position.offset).ok_or(Lost::Ahead)?;
        let kept = self.messages.len();
        let behind = usize::try_from(behind).ok().filter(|&n| n <= kept).ok_or(Lost::TooOld)?;
        Ok(self.messages.iter().skip(kept - behind).take(limit).cloned().collect())
    }

    /// The place right before the first message of this Unix second or a later one.
    ///
    /// # Errors
    /// [`Lost::TooOld`] when a message of that second or later may have been forgotten.
    pub fn since(&self, unix_seconds: i64) -> Result<Position, Lost> {
        if unix_seconds <= self.forgotten_until.unix_seconds() {
            return Err(Lost::TooOld);
        }
        let newer = self.messages.iter().rev().take_while(|m| m.at.unix_seconds() >= unix_seconds).count();
        Ok(Position { epoch: self.epoch.clone(), offset: self.top - newer as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Event;

    fn ring(messages: usize, age_us: i64) -> Ring {
        Ring::new(Epoch::parse("e1").expect("valid"), RingLimits { messages, age_us }, Micros(0))
    }

    fn say(ring: &mut Ring, text: &str, at: i64) -> u64 {
        ring.append(NewMessage { event: Event::Update, data: text.into() }, Micros(at)).offset
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::parse("e1").expect("valid"), offset }
    }

    fn offsets(replayed: Result<Vec<Arc<Message>>, Lost>) -> Result<Vec<u64>, Lost> {
        replayed.map(|messages| messages.iter().map(|m| m.offset).collect())
    }

    #[test]
    fn offsets_have_no_holes_and_a_replay_is_whole_or_refused() {
        let mut ring = ring(3, i64::MAX);
        for n in 1..=5 {
            assert_eq!(say(&mut ring, "x", n), n as u64);
        }
        assert_eq!(offsets(ring.after(&at(2), 10)), Ok(vec![3, 4, 5]));
        assert_eq!(offsets(ring.after(&at(2), 2)), Ok(vec![3, 4]));
        assert_eq!(offsets(ring.after(&at(5), 10)), Ok(vec![]));
        assert_eq!(offsets(ring.after(&at(1), 10)), Err(Lost::TooOld));
        assert_eq!(offsets(ring.after(&at(6), 10)), Err(Lost::Ahead));
        let elsewhere = Position { epoch: Epoch::parse("e2").expect("valid"), offset: 5 };
        assert_eq!(offsets(ring.after(&elsewhere, 10)), Err(Lost::EpochChanged));
    }

    #[test]
    fn age_evicts_too() {
        let mut ring = ring(100, 10);
        say(&mut ring, "old", 1);
        say(&mut ring, "new", 15);
        assert_eq!(offsets(ring.after(&at(1), 10)), Ok(vec![2]));
        assert_eq!(offsets(ring.after(&at(0), 10)), Err(Lost::TooOld));
        ring.evict(Micros(100));
        assert_eq!(offsets(ring.after(&at(2), 10)), Ok(vec![]));
        assert_eq!(offsets(ring.after(&at(1), 10)), Err(Lost::TooOld));
    }

    #[test]
    fn time_never_runs_backwards_in_a_topic() {
        let mut ring = ring(10, i64::MAX);
        say(&mut ring, "a", 9);
        say(&mut ring, "b", 3);
        let replayed = ring.after(&at(0), 10).expect("kept");
        assert!(replayed.iter().all(|m| m.at == Micros(9)));
    }

    #[test]
    fn since_is_inclusive_and_refuses_a_second_that_may_be_incomplete() {
        let second = 1_000_000;
        let mut ring = ring(2, i64::MAX);
        say(&mut ring, "a", 5 * second);
        say(&mut ring, "b", 6 * second + 1);
        assert_eq!(ring.since(6), Ok(at(1)));
        assert_eq!(ring.since(5), Ok(at(0)));
        assert_eq!(ring.since(7), Ok(at(2)));
        assert_eq!(ring.since(0), Err(Lost::TooOld), "the ring began within second 0");
        say(&mut ring, "c", 6 * second + 2);
        assert_eq!(ring.since(6), Ok(at(1)));
        assert_eq!(ring.since(5), Err(Lost::TooOld));
    }
}
