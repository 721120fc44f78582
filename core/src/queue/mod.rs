//! Adapters of the [`Queue`](crate::ports::Queue) port, and the worker's side of each.

mod payload;
pub mod sqlite;

pub use payload::{JobPayload, PayloadError, RawCodec, RawPayload};
pub use sqlite::SqliteQueue;

/// Where a worker gets its jobs from: apalis backends are types, so the alternatives are named here and the
/// worker's runtime is generic over them.
pub enum JobSource {
    /// apalis on SQLite.
    Sqlite(Box<sqlite::SqliteJobs>),
}
