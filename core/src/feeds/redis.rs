//! Feeds in Redis: a hash beside the feed's topic, changed by the script that also appends to the topic.

use std::sync::{Arc, LazyLock};

use ::redis::Script;
use async_trait::async_trait;

use crate::domain::{Event, FeedName, Message, Micros, TopicName};
use crate::ports::{FeedNote, FeedStore, PortError, StoredFeed};
use crate::redis::corrupt;
use crate::topics::{RedisTopics, split_position};

static FEED: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("../topics/log.lua"), include_str!("feed.lua"))));

/// A feed that was taken out of every configuration is forgotten after so long.
const LIFE_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Feeds shared by all processes on one Redis.
pub struct RedisFeeds {
    topics: Arc<RedisTopics>,
}

impl RedisFeeds {
    /// Feeds whose topics are these.
    #[must_use]
    pub const fn new(topics: Arc<RedisTopics>) -> Self {
        Self { topics }
    }

    async fn run(
        &self,
        operation: &'static str,
        feed: &FeedName,
        data: &str,
        note: Option<&FeedNote>,
    ) -> Result<StoredFeed, PortError> {
        let topic = TopicName::of_feed(feed);
        let handle = self.topics.handle();
        let (keys, hash) = handle.feed_keys(&topic);
        let mut arguments = self.topics.arguments(&topic, &keys);
        // Plain structs of strings and numbers always serialise.
        let note = note.map(|note| serde_json::to_string(note).unwrap_or_default()).unwrap_or_default();
        arguments.extend([data.to_owned(), note, LIFE_MS.to_string()]);
        let reply = handle.run(operation, &FEED, &[&keys.topic, &keys.log, &hash], &arguments).await?;
        let (position, rest) = split_position(operation, reply)?;
        self.topics.follows(&topic, &position);
        let [offset, at, data, note] = &rest[..] else { return Err(corrupt(operation, "feed")) };
        Ok(StoredFeed {
            position,
            latest: message(offset, at, data).map_err(|()| corrupt(operation, "message"))?,
            note: super::read_note(feed, note),
        })
    }
}

fn message(offset: &str, at: &str, data: &str) -> Result<Option<Arc<Message>>, ()> {
    if offset.is_empty() {
        return Ok(None);
    }
    let (offset, at) = (offset.parse().map_err(|_| ())?, Micros(at.parse().map_err(|_| ())?));
    Ok(Some(Arc::new(Message { offset, at, event: Event::Value, data: data.into() })))
}

#[async_trait]
impl FeedStore for RedisFeeds {
    async fn load(&self, feed: &FeedName) -> Result<StoredFeed, PortError> {
        self.run("read a feed", feed, "", None).await
    }

    async fn publish(&self, feed: &FeedName, data: &str, note: &FeedNote) -> Result<StoredFeed, PortError> {
        let operation = "publish a feed's value";
        super::check_value(operation, data)?;
        self.run(operation, feed, data, Some(note)).await
    }

    async fn note(&self, feed: &FeedName, note: &FeedNote) -> Result<(), PortError> {
        self.run("note a feed's fetch", feed, "", Some(note)).await.map(|_| ())
    }
}
