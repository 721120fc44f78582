//! The names of keys and channels: the only place that builds them.
//!
//! The text in braces decides the hash slot, so that one script may touch all keys of a board and its topic.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `{<prefix>b:<board>}topic` | hash | `epoch`, `top`, `latest`, `forgotten`, `run` of the board's topic |
//! | `{<prefix>b:<board>}log` | stream | its messages, ids `<offset>-0`: `t` time in µs, `e` event, `d` data |
//! | `{<prefix>b:<board>}board` | hash | `schema` (the marker of a whole board), `top` as last told, `building` |
//! | `{<prefix>b:<board>}order` | sorted set | score → time and user, so that ties are in order |
//! | `{<prefix>b:<board>}users` | hash | user id → `<version> <score> <member> <name as JSON>` |
//! | `{<prefix>t:<topic>}topic`, `…log` | | the same of a topic without a board |
//! | `{<prefix>t:feed:<name>}feed` | hash | of a feed: `offset`, `at`, `data` of its newest message, `note` |
//! | `{<prefix>lease:<name>}` | string | who holds a lease |
//! | `{<prefix>l:<limit>:<subject or address>}` | string | the bucket of a rate limit, see its script |
//!
//! Channels: of a topic `<prefix>a:<database>:<topic>`; of a process that waits for replies
//! `<prefix>r:<database>:<process>`.

use crate::domain::{BoardId, TopicName};
use crate::ports::BucketKey;

use super::RedisHandle;

/// Keys and channel of a topic.
pub(crate) struct TopicKeys {
    pub(crate) topic: String,
    pub(crate) log: String,
    pub(crate) channel: String,
}

/// Keys of a board beside those of its topic.
pub(crate) struct BoardKeys {
    pub(crate) topic: TopicKeys,
    pub(crate) board: String,
    pub(crate) order: String,
    pub(crate) users: String,
}

impl RedisHandle {
    pub(crate) fn topic_keys(&self, topic: &TopicName) -> TopicKeys {
        let tag = match topic.board() {
            Some(board) => self.board_tag(&board),
            None => format!("{{{}t:{topic}}}", self.prefix()),
        };
        let channel = format!("{}{topic}", self.channels());
        TopicKeys { topic: format!("{tag}topic"), log: format!("{tag}log"), channel }
    }

    /// Keys of a feed's topic, and the hash of the feed itself.
    pub(crate) fn feed_keys(&self, topic: &TopicName) -> (TopicKeys, String) {
        (self.topic_keys(topic), format!("{{{}t:{topic}}}feed", self.prefix()))
    }

    pub(crate) fn board_keys(&self, board: &BoardId) -> BoardKeys {
        let tag = self.board_tag(board);
        BoardKeys {
            topic: self.topic_keys(&TopicName::of_board(board)),
            board: format!("{tag}board"),
            order: format!("{tag}order"),
            users: format!("{tag}users"),
        }
    }

    pub(crate) fn lease_key(&self, name: &str) -> String {
        format!("{{{}lease:{name}}}", self.prefix())
    }

    /// What the channels of all our topics begin with.
    pub(crate) fn channels(&self) -> String {
        format!("{}a:{}:", self.prefix(), self.database())
    }

    /// The channel on which a process hears replies.
    pub(crate) fn reply_channel(&self, process: &str) -> String {
        format!("{}r:{}:{process}", self.prefix(), self.database())
    }

    /// The bucket of a subject or an address under a rate limit.
    pub(crate) fn bucket_key(&self, limit: &str, key: &BucketKey) -> String {
        match key {
            BucketKey::Subject(subject) => format!("{{{}l:{limit}:{subject}}}", self.prefix()),
            BucketKey::Address(address) => format!("{{{}l:{limit}:{address}}}", self.prefix()),
        }
    }

    fn board_tag(&self, board: &BoardId) -> String {
        format!("{{{}b:{board}}}", self.prefix())
    }
}
