//! Adapters of the [`FeedStore`](crate::ports::FeedStore) port.

mod redis;
mod sqlite;

use crate::domain::{FeedError, FeedName, FeedValue};
use crate::ports::{FailureKind, FeedNote, PortError};

pub use self::redis::RedisFeeds;
pub use sqlite::SqliteFeeds;

/// A note that can not be read was written by another release: the next fetch begins without it.
fn read_note(feed: &FeedName, text: &str) -> FeedNote {
    if text.is_empty() {
        return FeedNote::default();
    }
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::warn!(%feed, %error, "what was noted of a feed can not be read, and is left out");
        FeedNote::default()
    })
}

/// What is no value would be in every viewer's way until the next one.
fn check_value(operation: &'static str, data: &str) -> Result<(), PortError> {
    let checked: Result<_, FeedError> = FeedValue::parse(0, data);
    checked.map(|_| ()).map_err(|error| PortError::new(operation, FailureKind::Rejected, error))
}
