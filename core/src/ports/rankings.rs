//! Rankings: the cache that answers who leads. Rebuilt from the ledger whenever in doubt.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::PortError;
use crate::domain::{BoardId, NamedStanding, Position, UserId};

/// A row as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
/// in one atomic step, so that a repeat is invisible; a snapshot and its position belong together.
#[async_trait]
pub trait Rankings: Send + Sync {
    /// Takes standings of one board; says how many were news.
    async fn publish(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<u64, PortError>;
    /// Takes standings without telling viewers: for rebuilding.
    async fn restore(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<(), PortError>;
    /// Rows `offset .. offset + limit`.
    async fn page(&self, board: &BoardId, offset: usize, limit: usize) -> Result<Vec<BoardRow>, PortError>;
    /// The top rows with their place in the topic.
    async fn snapshot(&self, board: &BoardId) -> Result<BoardSnapshot, PortError>;
    /// A user's row on a board.
    async fn row(&self, board: &BoardId, user: UserId) -> Result<Option<BoardRow>, PortError>;
}
