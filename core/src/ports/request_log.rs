//! What was asked of sources, and how they answered: kept for a person who wonders why a feed stands still.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::domain::{FeedName, JobId, Micros};

/// A request to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRequestRecord {
    /// Its id: a ULID, so that ids stand in the order of time.
    pub id: String,
    /// The feed it was made for.
    pub feed: FeedName,
    /// What was asked, without secrets.
    pub url: String,
    /// When it began.
    pub at: Micros,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// How long it took, to the microsecond.
    pub latency: Duration,
    /// Size of the body that was read.
    pub bytes: u64,
    /// What came of it, as a slug: `value`, `not-modified`, `same-version`, or a failure's like `timeout`
    pub outcome: String,
    /// More about that, for a person.
    pub detail: Option<String>,
    /// The job it was made by.
    pub job: JobId,
    /// Which try of that job, from 1.
    pub attempt: u32,
}

/// A part of the log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestPage {
    /// At most as many as were asked for.
    pub requests: Vec<SourceRequestRecord>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Remembers every request to a source.
///
/// Obligations: a record is there when `record` returns, and never changes; pages name everything once, those recorded
/// meanwhile excepted. A NUL, which not every database can hold, reads back as U+FFFD.
#[async_trait]
pub trait RequestLog: Send + Sync {
    /// Records requests; one whose id is recorded already is left as it is.
    async fn record(&self, requests: &[SourceRequestRecord]) -> Result<(), PortError>;
    /// Requests of a feed, or of all, newest first by their ids, from the end of another page on.
    async fn list(&self, feed: Option<&FeedName>, after: Option<&str>, limit: usize) -> Result<RequestPage, PortError>;
    /// What a job asked, oldest first.
    async fn of_job(&self, job: &JobId) -> Result<Vec<SourceRequestRecord>, PortError>;
    /// Deletes at most `limit` records of requests made before this time, oldest first. Says how many went.
    async fn forget(&self, before: Micros, limit: usize) -> Result<u64, PortError>;
}
