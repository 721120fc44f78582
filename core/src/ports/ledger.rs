//! The ledger: SQL, the only truth. Rankings and topics can be rebuilt from it.

use async_trait::async_trait;

use super::PortError;
use crate::domain::{
    BoardId, Micros, NamedStanding, Outcome, RequestId, ScoreUpdate, Standing, Subject, UpdateId, User, UserId,
    UserName,
};

/// What one transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedBatch {
    /// How many updates were new and changed a score.
    pub applied: u64,
    /// How many were new and recorded as rejected.
    pub rejected: u64,
    /// How many the ledger already knew.
    pub duplicates: u64,
    /// The standing of every known user the batch names, new or duplicate: publishing all of them makes up for
    /// a publish that a crash prevented.
    pub standings: Vec<NamedStanding>,
}

/// An update as the ledger recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRecord {
    /// The update.
    pub id: UpdateId,
    /// Its board.
    pub board: BoardId,
    /// Its user.
    pub user: UserId,
    /// What it asked to add.
    pub amount: i64,
    /// When it was accepted.
    pub accepted_at: Micros,
    /// When the ledger decided.
    pub decided_at: Micros,
    /// What the ledger decided.
    pub outcome: Outcome,
    /// The user's score after it; `None` when rejected.
    pub score: Option<i64>,
    /// Who submitted it.
    pub submitter: Subject,
    /// The request it came in with.
    pub request: RequestId,
    /// The try that decided it, from 1.
    pub attempts: u32,
}

/// A score that the recorded updates alone do not add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// Whose.
    pub user: UserId,
    /// The score.
    pub score: i64,
    /// The sum of the applied updates that are still recorded.
    pub recorded: i64,
    /// Since when there can be updates: of a user that is older than the retention some may be forgotten.
    pub user_since: Micros,
}

/// Applies updates and remembers them.
///
/// Obligations: an update id is applied at most once, ever, whoever calls and however often; a batch is one
/// transaction; a version grows by one per transaction that changes the standing; `Unavailable` means that
/// nothing of the batch was applied *or* that the caller can not know, and may call again either way.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Applies a batch of updates in their order, exactly once each.
    async fn apply(&self, updates: &[ScoreUpdate]) -> Result<AppliedBatch, PortError>;
    /// The recorded update with this id.
    async fn find_update(&self, id: &UpdateId) -> Result<Option<UpdateRecord>, PortError>;
    /// At most `limit` standings of a board with user ids after `after`, by user id; for rebuilding rankings.
    async fn standings(
        &self,
        board: &BoardId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<NamedStanding>, PortError>;
    /// Deletes at most `limit` records decided before this time; standings stay. Says how many went.
    async fn forget_updates(&self, before: Micros, limit: usize) -> Result<u64, PortError>;
    /// Standings of a board whose score is not the sum of the applied updates that are still recorded. Reads
    /// everything: for a person who checks, not for a schedule.
    async fn unexplained(&self, board: &BoardId) -> Result<Vec<Unexplained>, PortError>;
    /// Fails when the ledger can not take a write now.
    async fn probe(&self) -> Result<(), PortError>;
}

/// A user to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The wanted id; the roster picks the next free one when absent.
    pub id: Option<UserId>,
    /// The name.
    pub name: UserName,
}

/// What creating a user did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCreation {
    /// The user is new and stands on board `main`.
    Created(User, Standing),
    /// The id already belongs to a user of the same name: nothing changed.
    Existing(User),
    /// The id belongs to a user of another name: nothing changed.
    NameDiffers(User),
}

/// The users.
///
/// Obligations: an id is never given twice; creating is idempotent by id; a new user stands on board `main`
/// with score 0 in the same transaction.
#[async_trait]
pub trait Roster: Send + Sync {
    /// Creates a user unless the id is taken.
    async fn create_user(&self, user: &NewUser, now: Micros) -> Result<UserCreation, PortError>;
    /// The user with this id.
    async fn find_user(&self, id: UserId) -> Result<Option<User>, PortError>;
    /// At most `limit` users with ids after `after`, by id.
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, PortError>;
}
