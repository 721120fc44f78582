//! Topics in this process's memory: for the embedded deployment, where one process is everything.
//!
//! A restart begins a new epoch, so cursors of an earlier life are answered by a reset instead of a gap. What shall
//! survive it is stored by somebody else and restored before the first use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::random_epoch;
use crate::domain::{
    Epoch, Keeping, Lost, Message, Micros, NewMessage, Position, Ring, RingLimits, Since, Stored, TopicName,
};
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

    /// Appends and announces.
    pub(crate) fn append_now(&self, topic: &TopicName, messages: Vec<NewMessage>) -> Position {
        self.append_at(topic, messages, self.clock.now())
    }

    /// Appends and announces as of `now`, under one lock, so that announcements stand in the topic's order.
    pub(crate) fn append_at(&self, topic: &TopicName, messages: Vec<NewMessage>, now: Micros) -> Position {
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

    /// Goes on where a topic ended before a restart, in the same life if nothing that was announced is missing. What is
    /// held of it is forgotten: call it before the topic is used.
    pub fn restore(&self, topic: &TopicName, epoch: Epoch, stored: Stored) {
        let mut ring = Ring::restored(epoch, self.keeping.of(topic).limits, stored);
        ring.evict(self.clock.now());
        self.lock().insert(topic.clone(), ring);
    }

    /// How much of a topic is kept.
    pub(crate) fn limits(&self, topic: &TopicName) -> RingLimits {
        self.keeping.of(topic).limits
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
    use crate::domain::Event;
    use crate::ports::SystemClock;

    #[tokio::test]
    async fn a_restored_topic_goes_on_where_it_was() {
        let limits = RingLimits { messages: 2, age_us: i64::MAX };
        let message = |offset| Message { offset, at: Micros(9_000_000), event: Event::Value, data: "{}".into() };
        let stored = Stored { messages: vec![message(6), message(7)], top: 7, forgotten_until: Micros(8_000_000) };
        let topic = TopicName::parse("feed:btc-usd").expect("a topic");
        let topics = MemoryTopics::new(limits, Arc::new(SystemClock));
        topics.restore(&topic, Epoch::parse("e1").expect("valid"), stored);
        let place = topics.position(&topic).await.expect("available");
        let Since { position, whole } = topics.since(&topic, 9).await.expect("available");
        assert_eq!((place.to_string().as_str(), position.offset, whole), ("e1:7", 5, true));
        let new = NewMessage { event: Event::Value, data: "1".into() };
        assert_eq!(topics.append(&topic, vec![new]).await.expect("appended").offset, 8);
        let kept = topics.after(&topic, &Position { offset: 6, ..place }, 9).await.expect("available");
        assert_eq!(kept.map(|kept| kept.len()), Ok(2), "within its limits as before");
    }
}
