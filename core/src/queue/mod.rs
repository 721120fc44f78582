//! Adapters of the [`Queue`](crate::ports::Queue) port, and the worker's side of each.

mod payload;
mod record;
pub mod redis_streams;
pub mod sqlite;

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
