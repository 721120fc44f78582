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

    /// A name that was checked when its topic was first used.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The board whose topic this is; `None` for any other topic.
    #[must_use]
    pub fn board(&self) -> Option<BoardId> {
        match self.0.strip_prefix("scores")? {
            "" => Some(BoardId::main()),
            rest => rest.strip_prefix(':').map(BoardId::new).filter(|board| Self::of_board(board) == *self),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_knows_its_board() {
        for board in [BoardId::main(), BoardId::new("weekly"), BoardId::new("a:b")] {
            assert_eq!(TopicName::of_board(&board).board(), Some(board));
        }
        for other in ["match:1", "scoresheet", "scores:main"] {
            assert_eq!(TopicName::stored(other).board(), None, "{other}");
        }
    }
}
