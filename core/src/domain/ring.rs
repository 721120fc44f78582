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

/// Where a replay by time begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// Right before the first message that is kept of the second or a later one; after the newest if there is none.
    pub position: Position,
    /// Everything of that second and later ones is kept.
    pub whole: bool,
}

/// A ring as something durable holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What was kept, oldest first: offsets without holes, the last one `top`. Data as it was told.
    pub messages: Vec<Message>,
    /// Offset of the newest message ever appended.
    pub top: u64,
    /// Time of the newest message no longer kept; before the first eviction, when the ring began.
    pub forgotten_until: Micros,
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

    /// A ring that goes on where a stored one ended, under an epoch's name. Messages that do not belong to it, because
    /// there is a hole between them and its end, count as forgotten.
    #[must_use]
    pub fn restored(epoch: Epoch, limits: RingLimits, stored: Stored) -> Self {
        let Stored { messages, top, forgotten_until } = stored;
        let latest = messages.last().map_or(forgotten_until, |newest| newest.at.max(forgotten_until));
        let mut ring = Self { epoch, limits, messages: VecDeque::new(), top, forgotten_until, latest };
        let mut expected = top;
        for message in messages.into_iter().rev() {
            if message.offset != expected || expected == 0 {
                ring.forgotten_until = ring.forgotten_until.max(message.at);
                break;
            }
            ring.messages.push_front(Arc::new(message));
            expected -= 1;
        }
        ring
    }

    /// Appends a message and forgets what the limits no longer hold.
    pub fn append(&mut self, message: NewMessage, now: Micros) -> Arc<Message> {
        self.latest = self.latest.max(now);
        self.top += 1;
        let message = Arc::new(message.taken(self.top, self.latest));
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

    /// Where everything of a Unix second and later ones begins, as far as it is kept.
    #[must_use]
    pub fn since(&self, unix_seconds: i64) -> Since {
        let newer = self.messages.iter().rev().take_while(|m| m.at.unix_seconds() >= unix_seconds).count();
        let position = Position { epoch: self.epoch.clone(), offset: self.top - newer as u64 };
        Since { position, whole: unix_seconds > self.forgotten_until.unix_seconds() }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
