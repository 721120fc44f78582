//! Scorewire's workers: one file per durable job.
//!
//! - [`score_update`]: applies queued score updates exactly once and publishes the result
//! - [`fetch`]: asks a feed's source once and publishes what is new
//! - [`schedule`]: queues fetches of feeds on their beats
//! - [`request_logger`]: logs what was asked of sources
//! - [`group_commit`]: merges concurrent jobs into one ledger transaction
//! - [`reconcile`]: rebuilds lost rankings, compares the rest with the ledger
//! - [`maintenance`]: trims the queue, forgets what is past its retention
//! - [`runtime`]: keeps a worker running, whatever its queue does
//! - [`health`]: whether the worker gets anywhere
//! - [`log`]: how log lines look, for every program of ours

pub mod fetch;
pub mod group_commit;
pub mod health;
mod lease;
pub mod log;
pub mod maintenance;
pub mod reconcile;
pub mod request_logger;
pub mod runtime;
pub mod schedule;
pub mod score_update;

pub use health::Health;
pub use runtime::Workers;
