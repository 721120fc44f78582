//! What is kept of feeds between fetches: the newest value, which outlives the topic's ring, and what was noted of the
//! fetches.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PortError, Validators};
use crate::domain::{Breaker, FeedName, Message, Micros, Position};

/// What is remembered of the last good fetch, for the next one. Kept beside the value it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Of the feed's definition: what is known to a feed that was changed since is not known any more.
    pub definition: String,
    /// What the source said of the version.
    pub validators: Validators,
    /// What the feed's `dedupe` filter said of it.
    pub dedupe: Option<String>,
}

/// The failure of the last fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedFailure {
    /// The failure's slug.
    pub reason: String,
    /// What exactly, in words, without secrets.
    pub message: String,
    /// When the fetch began.
    pub at: Micros,
    /// Failed fetches in a row.
    pub in_row: u32,
}

/// What is noted of a feed's fetches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedNote {
    /// What is known of the newest value.
    pub known: Option<Known>,
    /// Whether the source may be asked.
    pub breaker: Breaker,
    /// When a fetch last brought a value or found it unchanged.
    pub checked_at: Option<Micros>,
    /// Why the last fetch failed, if it did.
    pub failure: Option<NotedFailure>,
}

/// A feed as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFeed {
    /// The place after its topic's newest message.
    pub position: Position,
    /// Its newest message, whether or not the topic still keeps it; `None` before the first. Of an earlier life of the
    /// topic, its offset means nothing.
    pub latest: Option<Arc<Message>>,
    /// What was noted; empty when nothing was, or nothing that can be read.
    pub note: FeedNote,
}

/// Keeps feeds.
///
/// Obligations: `publish` appends, announces and notes in one atomic step: after a crash all of it is there or nothing.
/// What was published and noted is there after a restart, and so is the topic's ring within its limits. The message's
/// data is `{"timestamp":<Unix second of its own time in the topic>,"data":<data>}`. One feed is changed by one caller
/// at a time, or the last one's note stays.
#[async_trait]
pub trait FeedStore: Send + Sync {
    /// What is kept of a feed.
    async fn load(&self, feed: &FeedName) -> Result<StoredFeed, PortError>;
    /// Publishes a value, one line of JSON, and replaces the note.
    async fn publish(&self, feed: &FeedName, data: &str, note: &FeedNote) -> Result<StoredFeed, PortError>;
    /// Replaces the note alone.
    async fn note(&self, feed: &FeedName, note: &FeedNote) -> Result<(), PortError>;
}
