//! Rankings: the cache that answers who leads. Rebuilt from the ledger whenever in doubt.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::domain::{BoardId, NamedStanding, Position, UserId};

/// A row as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardRow {
    /// Competition rank, from 1.
    pub rank: u64,
    /// The user's id.
    #[serde(rename = "userId")]
    pub user_id: i64,
    /// The user's name.
    pub user: String,
    /// The absolute score.
    pub score: i64,
}

/// The top of a board and the place in its topic at which it was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardSnapshot {
    /// The newest message this snapshot already contains.
    pub position: Position,
    /// The top rows as one line of JSON.
    pub top: Arc<str>,
}

/// Keeps boards in order and publishes their changes.
///
/// Obligations: `publish` takes only versions newer than those held, appends to the board's topic and announces
/// in one atomic step, so that a repeat is invisible; a snapshot and its position belong together; a board that is
/// stale (see [`Rebuild`]) answers that it is unavailable, never that it is empty.
#[async_trait]
pub trait Rankings: Rebuild {
    /// Takes standings of one board; says how many were news.
    async fn publish(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<u64, PortError>;
    /// Rows `offset .. offset + limit`.
    async fn page(&self, board: &BoardId, offset: usize, limit: usize) -> Result<Vec<BoardRow>, PortError>;
    /// The top rows with their place in the topic.
    async fn snapshot(&self, board: &BoardId) -> Result<BoardSnapshot, PortError>;
    /// A user's row on a board.
    async fn row(&self, board: &BoardId, user: UserId) -> Result<Option<BoardRow>, PortError>;
}

/// A board that is being rebuilt.
#[derive(Debug)]
#[must_use = "the board stays stale until this is finished"]
pub struct Building {
    /// The board.
    pub board: BoardId,
    /// Names this attempt: of two that overlap, the later one counts.
    pub(crate) attempt: String,
}

/// A standing that is held otherwise than the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Whose.
    pub user: UserId,
    /// The version that is held; `None` when the user is missing. The version that was compared means that something
    /// else differs.
    pub held: Option<i64>,
}

/// Fills rankings from the ledger and compares them with it.
///
/// Obligations: from `begin` to `finish` a board that several processes share is stale; `finish` sends viewers to a
/// new snapshot, since what was restored was never announced; of attempts that overlap only the latest can finish.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// Whether the board has to be rebuilt before it can be used.
    async fn is_stale(&self, board: &BoardId) -> Result<bool, PortError>;
    /// Begins to rebuild a board.
    async fn begin(&self, board: &BoardId) -> Result<Building, PortError>;
    /// Takes standings of newer versions without telling viewers.
    async fn restore(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<(), PortError>;
    /// Marks a board as whole after every standing was restored. Unavailable when another attempt began since, or
    /// the board was lost again: look at `is_stale`.
    async fn finish(&self, building: Building) -> Result<(), PortError>;
    /// Which of these standings are held differently.
    async fn compare(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<Vec<Drift>, PortError>;
    /// How many users stand on a board.
    async fn size(&self, board: &BoardId) -> Result<u64, PortError>;
}
