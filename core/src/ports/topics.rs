//! Topics: ordered, replayable messages.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::PortError;
use crate::domain::{Epoch, Lost, Message, NewMessage, Position, Since, TopicName};

/// New messages of one topic, as every process hears of them.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The topic.
    pub topic: TopicName,
    /// Its life now.
    pub epoch: Epoch,
    /// Consecutive messages, oldest first. None at all says "look again": announcements may have been missed or
    /// the topic began a new life, so whoever follows it should read what comes after its own place.
    pub messages: Arc<[Arc<Message>]>,
}

/// Topics and their memory.
///
/// Obligations: append and announce are one atomic step per topic; offsets within an epoch have no holes; a
/// replay is whole or refused; time never runs backwards within a topic. Announcements may be lost (a slow
/// listener, a dead connection): a listener compares offsets and reads what it missed. When an adapter's own source
/// of announcements was interrupted, it announces no messages for every topic asked for before, so that listeners
/// of an idle topic look too. An append that failed as unavailable may have taken place. A value of a feed is told with
/// the second of the topic's own time ([`Event::Value`](crate::domain::Event::Value)); all other data stays as it was
/// given. Each topic is kept within its own limits; one that survives has its messages, though not its epoch, after
/// a restart of what holds them.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Appends messages and announces them.
    async fn append(&self, topic: &TopicName, messages: Vec<NewMessage>) -> Result<Position, PortError>;
    /// At most `limit` messages right after a position, or why that place is lost.
    async fn after(
        &self,
        topic: &TopicName,
        position: &Position,
        limit: usize,
    ) -> Result<Result<Vec<Arc<Message>>, Lost>, PortError>;
    /// Where everything of a Unix second and later ones begins, as far as it is kept.
    async fn since(&self, topic: &TopicName, unix_seconds: i64) -> Result<Since, PortError>;
    /// The place after the newest message.
    async fn position(&self, topic: &TopicName) -> Result<Position, PortError>;
    /// What is announced from now on.
    fn announcements(&self) -> broadcast::Receiver<Announcement>;
    /// Says that nobody in this process follows the topic any more: what was kept for that may go. Its messages stay.
    fn forget(&self, topic: &TopicName);
}
