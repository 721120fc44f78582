//! Jobs of which one at a time is enough: fetching a feed twice at once would ask its source twice for one answer.

use async_trait::async_trait;

use super::{JobKind, PortError};
use crate::domain::{JobId, Micros};

/// A job that asks to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Whose queue it goes to.
    pub kind: JobKind,
    /// What no two unfinished jobs of the kind may claim at once, e.g. a feed's name.
    pub claim: String,
    /// What it carries.
    pub payload: Vec<u8>,
    /// The claim ends then by itself, so that no job blocks the next for ever.
    pub claim_until: Micros,
    /// When the tick that fires it began; `None` for a person's request.
    pub slot: Option<Micros>,
    /// Whether its payload takes the place of the claiming job's, while that one still waits.
    pub replaces: bool,
}

/// What became of a job that asked to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// Durably queued under this id, and holds the claim.
    Queued(JobId),
    /// This unfinished job holds the claim: nothing was queued.
    Claimed(JobId),
    /// That tick was fired before, by any process, or is past: nothing changed.
    SlotTaken,
}

/// A slot this far ahead of a new one was fired before somebody set the clock back, and is forgotten.
pub const SLOT_AHEAD_US: i64 = 3_600_000_000;

/// Queues jobs of which one at a time is enough. Their dead letters, waits and statistics are the
/// [`Queue`](super::Queue)'s.
///
/// Obligations: `enqueue` is one atomic durable step, so that of many at once with one claim one is queued and of many
/// with one slot one is not `SlotTaken`. A claim is held from then until `finished`, until `claim_until`, or until its
/// job is gone, whichever comes first. The newest slot of a claim is remembered whatever becomes of its job, so that
/// a tick whose answer is `Claimed` is skipped and not fired late.
#[async_trait]
pub trait UniqueJobs: Send + Sync {
    /// Queues a job unless its slot was taken or its claim is held.
    async fn enqueue(&self, job: NewJob) -> Result<Enqueued, PortError>;
    /// Says that a job in hand is (still) the one for its claim: `true` takes the claim if it is free, and moves its
    /// end. `false`: another unfinished job holds it, as after a retry by hand or when the claim had ended meanwhile.
    async fn hold(&self, kind: JobKind, claim: &str, job: &JobId, until: Micros) -> Result<bool, PortError>;
    /// Gives the claim back if this job still holds it; for a worker, before it acknowledges the job.
    async fn finished(&self, kind: JobKind, claim: &str, job: &JobId) -> Result<(), PortError>;
}
