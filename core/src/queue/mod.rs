//! Adapters of the queue's ports ([`Queue`](crate::ports::Queue), [`UniqueJobs`](crate::ports::UniqueJobs),
//! [`JobInspector`](crate::ports::JobInspector)), and the worker's side of each.

mod fetch_payload;
mod payload;
mod record;
pub mod redis_streams;
pub mod sqlite;
mod wakes;

pub use fetch_payload::FetchPayload;
pub use payload::{JobPayload, PayloadError, RawCodec, RawPayload};
pub use redis_streams::RedisQueue;
pub use sqlite::SqliteQueue;

/// Where a worker gets its jobs from: apalis backends are types, so the alternatives are named here and the
/// worker's runtime is generic over them.
pub enum JobSource {
    /// apalis on SQLite.
    Sqlite(Box<sqlite::SqliteJobs>),
    /// Ours on Redis Streams.
    Streams(Box<redis_streams::StreamsJobs>),
}
