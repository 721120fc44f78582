//! Topic names.

use std::fmt;
use std::sync::Arc;

use super::{BoardId, FeedName};

/// The longest name of a topic, in bytes.
const LONGEST: usize = 128;

/// The name of an ordered, replayable series of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// What the messages of a topic mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Each is the newest value of something: a viewer who can not keep up may skip values that were replaced.
    State,
    /// Each is something that happened: a viewer sees all of them.
    Log,
}

/// The text names no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It can not be the name of any.
    #[error("a topic's name is 1 to {LONGEST} letters, digits and . _ : -")]
    Malformed,
    /// It is the name of none.
    #[error("there is no such topic: choose scores, match:<id>, or feed:<name> of a feed that is configured")]
    Unknown,
}

impl TopicName {
    /// The topic of a board: `scores` for board `main`, `scores:<board>` for any other.
    #[must_use]
    pub fn of_board(board: &BoardId) -> Self {
        if *board == BoardId::main() { Self("scores".into()) } else { Self(format!("scores:{board}").into()) }
    }

    /// The topic of a feed: `feed:<name>`.
    #[must_use]
    pub fn of_feed(feed: &FeedName) -> Self {
        Self(format!("feed:{feed}").into())
    }

    /// A name that was checked when its topic was first used.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The topic that a viewer names. Which feeds there are is not known here: one that is not configured passes.
    ///
    /// # Errors
    /// [`TopicError`] when there is none of this name.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(plain) {
            return Err(TopicError::Malformed);
        }
        let of_match = text.strip_prefix("match:").is_some_and(|id| !id.is_empty());
        let topic = Self(text.into());
        if text == "scores" || of_match || topic.feed().is_some() { Ok(topic) } else { Err(TopicError::Unknown) }
    }

    /// What its messages mean together.
    #[must_use]
    pub fn kind(&self) -> TopicKind {
        if self.board().is_some() || self.feed().is_some() { TopicKind::State } else { TopicKind::Log }
    }

    /// The board whose topic this is; `None` for any other topic.
    #[must_use]
    pub fn board(&self) -> Option<BoardId> {
        match self.0.strip_prefix("scores")? {
            "" => Some(BoardId::main()),
            rest => rest.strip_prefix(':').map(BoardId::new).filter(|board| Self::of_board(board) == *self),
        }
    }

    /// The feed whose topic this is; `None` for any other topic.
    #[must_use]
    pub fn feed(&self) -> Option<FeedName> {
        FeedName::parse(self.0.strip_prefix("feed:")?).ok()
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

    #[test]
    fn a_topic_knows_its_feed() {
        let feed = FeedName::parse("btc-usd").expect("a name");
        let topic = TopicName::of_feed(&feed);
        assert_eq!((topic.as_str(), topic.feed()), ("feed:btc-usd", Some(feed)));
        assert_eq!((topic.board(), topic.kind()), (None, TopicKind::State));
        for other in ["feed:", "feed", "feed:BTC", "feed:a:b", "match:feed:a", "scores"] {
            assert_eq!(TopicName::stored(other).feed(), None, "{other}");
        }
    }

    #[test]
    fn viewers_name_topics_that_exist() {
        assert_eq!(TopicName::parse("scores").map(|topic| topic.kind()), Ok(TopicKind::State));
        assert_eq!(TopicName::parse("match:15986").map(|topic| topic.kind()), Ok(TopicKind::Log));
        assert_eq!(TopicName::parse("feed:btc-usd").map(|topic| topic.kind()), Ok(TopicKind::State));
        for unknown in ["match:", "match", "scores:weekly", "weather", "feed:", "feed:BTC", "feed:a_b"] {
            assert_eq!(TopicName::parse(unknown), Err(TopicError::Unknown), "{unknown}");
        }
        for malformed in ["", "match:a b", "match:a,b", "match:ä", "match:a\n", &format!("match:{}", "1".repeat(123))]
        {
            assert_eq!(TopicName::parse(malformed), Err(TopicError::Malformed), "{malformed:?}");
        }
    }
}
