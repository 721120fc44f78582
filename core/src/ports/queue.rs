//! The durable queue. Accepting is one atomic durable write; delivery is at least once.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::domain::{
    BoardId, Fingerprint, JobId, Micros, Operator, ReplyTo, RequestId, ScoreUpdate, Subject, UpdateId, UserId,
};

/// The kinds of job; each has its own queue, so that a slow kind never holds up another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Score updates.
    Scores,
    /// Fetches of feeds' sources.
    Fetch,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Scores, Self::Fetch];

    /// The queue's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Fetch => "fetch",
        }
    }
}

impl FromStr for JobKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| format!("choose from: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What makes an update itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateIdentity {
    /// The sender named it: a repeat is the same update.
    Keyed(UpdateId),
    /// Every request is an update of its own.
    Keyless,
}

/// An update that asks to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpdate {
    /// What makes it itself.
    pub identity: UpdateIdentity,
    /// The board.
    pub board: BoardId,
    /// The user.
    pub user: UserId,
    /// What it does.
    pub operator: Operator,
    /// When it arrived.
    pub accepted_at: Micros,
    /// Who sent it.
    pub submitter: Subject,
    /// The request it came with.
    pub request: RequestId,
    /// Where that request waits for the decision, if it does.
    pub reply_to: Option<ReplyTo>,
}

impl NewUpdate {
    /// What a repeat of the same key must repeat.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.board, self.user, self.operator)
    }

    /// The update under the identity it was accepted with.
    #[must_use]
    pub fn accepted_as(self, id: UpdateId) -> ScoreUpdate {
        ScoreUpdate {
            id,
            board: self.board,
            user: self.user,
            operator: self.operator,
            accepted_at: self.accepted_at,
            submitter: self.submitter,
            request: self.request,
            reply_to: self.reply_to,
            attempt: 1,
        }
    }
}

/// What became of an update that asked to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Durably queued under this id.
    Accepted(UpdateId),
    /// The same key and body were accepted before, under this id.
    Replayed(UpdateId),
    /// The same key was accepted before with another body: nothing was queued.
    KeyReused(UpdateId),
}

/// Where a queued update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuedState {
    /// Waiting for its first try, or being tried.
    Queued,
    /// Failed before, will be tried again.
    Retrying,
    /// Given up on and parked.
    Dead,
}

/// An update that the queue still knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedUpdate {
    /// The update.
    pub update: ScoreUpdate,
    /// Where it is.
    pub state: QueuedState,
    /// Failed tries so far.
    pub attempts: u32,
    /// Why the last try failed, if one did.
    pub last_error: Option<String>,
    /// When it was parked.
    pub died_at: Option<Micros>,
}

/// Work that was given up on, kept for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose queue it was in.
    pub kind: JobKind,
    /// The update's id; the job's where the payload can not be read, and for any other kind than scores.
    pub id: String,
    /// The job it came in.
    pub job: JobId,
    /// The update as JSON, or the bytes of the job.
    pub payload: Vec<u8>,
    /// Why.
    pub reason: String,
    /// Failed tries.
    pub attempts: u32,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Jobs accepted and not finished.
    pub depth: u64,
    /// Age of the oldest of them.
    pub oldest: Duration,
    /// Dead letters.
    pub dead: u64,
}

/// Accepts score updates durably and keeps the bookkeeping of every kind's queue; the worker's side is [`crate::queue::JobSource`].
///
/// Obligations: when `accept` returns `Ok`, every `Accepted` update survives a crash of everything; job and
/// key index are written in one atomic step, so that of two calls with one key exactly one is `Accepted`.
/// A key deduplicates at least as long as the ledger remembers its update.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Accepts updates in one atomic durable write, as one job. Answers stand in the order of the updates.
    async fn accept(&self, updates: Vec<NewUpdate>) -> Result<Vec<Acceptance>, PortError>;
    /// The update with this id, if the queue still knows it (waiting or dead).
    async fn find_update(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError>;
    /// Has a failing job wait this long before its next try.
    async fn delay(&self, kind: JobKind, job: &JobId, wait: Duration) -> Result<(), PortError>;
    /// Parks letters; parking one twice changes nothing.
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), PortError>;
    /// How full the queue of a kind is.
    async fn stats(&self, kind: JobKind) -> Result<QueueStats, PortError>;
    /// Deletes at most `limit` finished jobs of all kinds, and keys accepted before `keys_before`. Says how many rows went.
    async fn trim(&self, keys_before: Micros, limit: usize) -> Result<u64, PortError>;
}
