//! Topics in this process's memory: for the embedded deployment, where one process is everything.
//!
//! A restart begins a new epoch, so cursors of an earlier life are answered by a reset instead of a gap. What shall
//! survive it is stored by somebody else and restored before the first use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::random_epoch;
use crate::domain::{Keeping, Lost, Message, NewMessage, Position, Ring, Since, Stored, TopicName};
use crate::ports::{Announcement, Clock, PortError, Topics};

/// Announcements a slow listener may lag behind before it has to read the topic instead.
const ANNOUNCEMENTS: usize = 1_024;

/// Rings in memory.
pub struct MemoryTopics {
    rings: Mutex<HashMap<TopicName, Ring>>,
    keeping: Arc<Keeping>,
    clock: Arc<dyn Clock>,
    announcements: broadcast::Sender<Announcement>,
}

impl MemoryTopics {
    /// No topics yet; each begins with its first use.
    #[must_use]
    pub fn new(keeping: impl Into<Arc<Keeping>>, clock: Arc<dyn Clock>) -> Self {
        let (announcements, _) = broadcast::channel(ANNOUNCEMENTS);
        Self { rings: Mutex::default(), keeping: keeping.into(), clock, announcements }
    }

    /// Appends and announces under one lock, so that announcements stand in the topic's order.
    pub(crate) fn append_now(&self, topic: &TopicName, messages: Vec<NewMessage>) -> Position {
        let now = self.clock.now();
        let mut rings = self.lock();
        let ring = self.ring(&mut rings, topic);
        let messages: Arc<[Arc<Message>]> = messages.into_iter().map(|m| ring.append(m, now)).collect();
        let position = ring.position();
        if !messages.is_empty() {
            let announcement = Announcement { topic: topic.clone(), epoch: position.epoch.clone(), messages };
            // No listener is no failure: viewers come and go.
            let _ = self.announcements.send(announcement);
        }
        position
    }

    /// Begins a new life of a topic and has everybody look: cursors of the old one are refused from now on.
    pub(crate) fn begin_now(&self, topic: &TopicName) {
        let mut rings = self.lock();
        rings.remove(topic);
        let epoch = self.ring(&mut rings, topic).position().epoch;
        let _ = self.announcements.send(Announcement { topic: topic.clone(), epoch, messages: [].into() });
    }

    /// Goes on where a topic ended before a restart, in a new life. What is held of it is forgotten: call it before the
    /// topic is used.
    pub fn restore(&self, topic: &TopicName, stored: Stored) {
        let ring = Ring::restored(random_epoch(), self.keeping.of(topic).limits, stored);
        self.lock().insert(topic.clone(), ring);
    }

    /// The place after the newest message.
    pub(crate) fn position_now(&self, topic: &TopicName) -> Position {
        self.ring(&mut self.lock(), topic).position()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Ring>> {
        // Rings are changed by code that does not panic half-way; a poisoned lock still guards whole rings.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring<'a>(&self, rings: &'a mut HashMap<TopicName, Ring>, topic: &TopicName) -> &'a mut Ring {
        rings
            .entry(topic.clone())
            .or_insert_with(|| Ring::new(random_epoch(), self.keeping.of(topic).limits, self.clock.now()))
    }
}

#[async_trait]
impl Topics for MemoryTopics {
    async fn append(&self, topic: &TopicName, messages: Vec<NewMessage>) -> Result<Position, PortError> {
        Ok(self.append_now(topic, messages))
    }

    async fn after(
        &self,
        topic: &TopicName,
        position: &Position,
        limit: usize,
    ) -> Result<Result<Vec<Arc<Message>>, Lost>, PortError> {
        let now = self.clock.now();
        let mut rings = self.lock();
        let ring = self.ring(&mut rings, topic);
        ring.evict(now);
        Ok(ring.after(position, limit))
    }

    async fn since(&self, topic: &TopicName, unix_seconds: i64) -> Result<Since, PortError> {
        let now = self.clock.now();
        let mut rings = self.lock();
        let ring = self.ring(&mut rings, topic);
        ring.evict(now);
        Ok(ring.since(unix_seconds))
    }

    async fn position(&self, topic: &TopicName) -> Result<Position, PortError> {
        Ok(self.position_now(topic))
    }

    fn announcements(&self) -> broadcast::Receiver<Announcement> {
        self.announcements.subscribe()
    }

    fn forget(&self, topic: &TopicName) {
        let mut rings = self.lock();
        // One that never had a message was made by asking for it.
        if rings.get(topic).is_some_and(|ring| ring.position().offset == 0) {
            rings.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, Micros, RingLimits};
    use crate::ports::SystemClock;

    #[tokio::test]
    async fn a_restored_topic_goes_on_in_a_new_life() {
        let limits = RingLimits { messages: 2, age_us: i64::MAX };
        let message = |offset| Message { offset, at: Micros(9_000_000), event: Event::Value, data: "{}".into() };
        let stored = Stored { messages: vec![message(6), message(7)], top: 7, forgotten_until: Micros(8_000_000) };
        let topic = TopicName::parse("feed:btc-usd").expect("a topic");
        let mut epochs = Vec::new();
        for _ in 0..2 {
            let topics = MemoryTopics::new(limits, Arc::new(SystemClock));
            topics.restore(&topic, stored.clone());
            let place = topics.position(&topic).await.expect("available");
            let Since { position, whole } = topics.since(&topic, 9).await.expect("available");
            assert_eq!((place.offset, position.offset, whole), (7, 5, true));
            let new = NewMessage { event: Event::Value, data: "1".into() };
            assert_eq!(topics.append(&topic, vec![new]).await.expect("appended").offset, 8);
            let kept = topics.after(&topic, &Position { offset: 6, ..place.clone() }, 9).await.expect("available");
            assert_eq!(kept.map(|kept| kept.len()), Ok(2), "within its limits as before");
            epochs.push(place.epoch);
        }
        assert_ne!(epochs[0], epochs[1]);
    }
}
