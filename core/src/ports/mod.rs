//! What Scorewire needs from outside, as traits whose obligations are written on them and held by one
//! contract suite over every adapter (`tests/contracts`). Adapters live beside this folder, grouped by port.

mod clock;
mod error;
mod feed_store;
mod job_inspector;
mod leases;
mod ledger;
mod queue;
mod rankings;
mod rate_limits;
mod replies;
mod request_log;
mod source;
mod topics;
mod unique_jobs;

pub use clock::{Clock, SystemClock};
pub use error::{FailureKind, PortError};
pub use feed_store::{FeedNote, FeedStore, Known, NotedFailure, StoredFeed};
pub use job_inspector::{CursorError, JobCursor, JobInspector, JobPage, JobRecord, JobState};
pub use leases::Leases;
pub use ledger::{AppliedBatch, Ledger, NewUser, Roster, Unexplained, UpdateRecord, UserCreation};
pub use queue::{
    Acceptance, DeadLetter, JobKind, NewUpdate, Queue, QueueStats, QueuedState, QueuedUpdate, UpdateIdentity,
};
pub use rankings::{BoardRow, BoardSnapshot, Building, Drift, Rankings, Rebuild};
pub use rate_limits::{BucketKey, Buckets, RateLimit, RateLimits, Taken};
pub use replies::{Replies, Waiter};
pub use request_log::{RequestLog, RequestPage, SourceRequestRecord};
pub use source::{Source, SourceAnswer, SourceReply, SourceRequest, Validators};
pub use topics::{Announcement, Topics};
pub use unique_jobs::{Enqueued, NewJob, SLOT_AHEAD_US, UniqueJobs};
