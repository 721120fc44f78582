//! Topic names.

use std::fmt;
use std::sync::Arc;

use super::BoardId;

/// The name of an ordered, replayable series of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The topic of a board: `scores` for board `main`, `scores:<board>` for any other.
    #[must_use]
    pub fn of_board(board: &BoardId) -> Self {
        if *board == BoardId::main() { Self("scores".into()) } else { Self(format!("scores:{board}").into()) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
