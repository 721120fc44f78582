//! Rankings in Redis: a sorted set and a hash per board, changed by scripts that also append to the board's topic.
//!
//! Redis may be emptied at any time, so a whole board carries a marker. Without it every reading and publishing
//! answers that Redis is unavailable, by an error whose source is [`Unbuilt`], until the board is built from the
//! ledger: [`Rebuild`].

use std::sync::{Arc, LazyLock};

use ::redis::Script;
use async_trait::async_trait;

use super::messages;
use crate::domain::{BoardId, NamedStanding, SCORE_LIMIT, TopicName, UserId};
use crate::ports::{BoardRow, BoardSnapshot, Building, Drift, FailureKind, PortError, Rankings, Rebuild};
use crate::redis::{BoardKeys, corrupt};
use crate::topics::{RedisTopics, split_position};

/// A script that begins with the libraries of topics and boards.
macro_rules! board_script {
    ($file:literal) => {
        LazyLock::new(|| {
            let topics = include_str!("../topics/log.lua");
            Script::new(&[topics, include_str!("board.lua"), include_str!($file)].concat())
        })
    };
}

static PUBLISH: LazyLock<Script> = board_script!("publish.lua");
static RESTORE: LazyLock<Script> = board_script!("restore.lua");
static BEGIN: LazyLock<Script> = board_script!("begin.lua");
static FINISH: LazyLock<Script> = board_script!("finish.lua");
static READ: LazyLock<Script> = board_script!("read.lua");
static COMPARE: LazyLock<Script> = board_script!("compare.lua");

/// What the keys of a board look like. Another program version with another layout finds the board unbuilt.
const SCHEMA: u32 = 1;
/// Standings per script: Redis does nothing else meanwhile.
const PUBLISHED_AT_ONCE: usize = 128;
/// Restoring sends no messages, so more standings take the same time.
const RESTORED_AT_ONCE: usize = 500;
/// What scripts answer when a board has no marker of this schema.
const UNBUILT: &str = "unbuilt";
const READ_BOARD: &str = "read a board";
const ADVICE: &str = "the board is not in Redis, or not whole: it is rebuilt from the ledger";

/// The board is not in Redis: it was never built, was lost, or has another layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the board is not built")]
pub struct Unbuilt;

/// Another process began to build the same board, or Redis lost it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another attempt to build the board began since, or the board was lost again")]
pub struct Superseded;

/// A standing no sorted set can hold exactly.
#[derive(Debug, thiserror::Error)]
#[error("the score or version of user {0} is outside ±(2^53−1)")]
struct OutOfRange(UserId);

/// Boards in Redis.
pub struct RedisRankings {
    topics: Arc<RedisTopics>,
    top_rows: usize,
}

impl RedisRankings {
    /// `top_rows` is how many rows a `top` message carries: the same in all processes.
    #[must_use]
    pub const fn new(topics: Arc<RedisTopics>, top_rows: usize) -> Self {
        Self { topics, top_rows }
    }

    async fn run(
        &self,
        operation: &'static str,
        board: &BoardId,
        script: &Script,
        more: impl IntoIterator<Item = String>,
    ) -> Result<Vec<String>, PortError> {
        let handle = self.topics.handle();
        let name = TopicName::of_board(board);
        let BoardKeys { topic, board, order, users } = handle.board_keys(board);
        let mut arguments = self.topics.arguments(&name, &topic);
        arguments.extend([self.top_rows.to_string(), SCHEMA.to_string()]);
        arguments.extend(more);
        handle.run(operation, script, &[&topic.topic, &topic.log, &board, &order, &users], &arguments).await
    }

    /// Reads a board that is built.
    async fn read<const N: usize>(&self, board: &BoardId, what: [String; N]) -> Result<Vec<String>, PortError> {
        let mut reply = self.run(READ_BOARD, board, &READ, what).await?;
        if is(&reply, UNBUILT) {
            return Err(unbuilt(READ_BOARD));
        }
        // What is left after the word `built`.
        Ok(reply.split_off(reply.len().min(1)))
    }
}

fn is(reply: &[String], word: &str) -> bool {
    reply.first().is_some_and(|first| first == word)
}

fn unbuilt(operation: &'static str) -> PortError {
    PortError::new(operation, FailureKind::Unavailable, Unbuilt).with_advice(Some(ADVICE))
}

/// Standings as the scripts take them: five arguments each.
fn encode(operation: &'static str, standings: &[NamedStanding]) -> Result<Vec<String>, PortError> {
    let mut arguments = Vec::with_capacity(standings.len() * 5);
    for NamedStanding { standing, name } in standings {
        if [standing.score, standing.version].iter().any(|n| n.unsigned_abs() > SCORE_LIMIT.unsigned_abs()) {
            return Err(PortError::new(operation, FailureKind::Rejected, OutOfRange(standing.user)));
        }
        let user = standing.user.get();
        // The earlier time and the lower id have the higher member; every text has the same width.
        let member = format!("{:016x}{:014x}", i64::MAX.abs_diff(standing.reached_at.0), SCORE_LIMIT - user);
        let numbers = [user, standing.version, standing.score].map(|number| number.to_string());
        arguments.extend(numbers.into_iter().chain([member, messages::json(&name.as_str()).to_string()]));
    }
    Ok(arguments)
}

fn row(fields: &[String]) -> Option<BoardRow> {
    let [rank, user_id, name, score] = fields else { return None };
    Some(BoardRow {
        rank: rank.parse().ok()?,
        user_id: user_id.parse().ok()?,
        user: serde_json::from_str(name).ok()?,
        score: score.parse().ok()?,
    })
}

fn board_rows(fields: &[String]) -> Result<Vec<BoardRow>, PortError> {
    fields.chunks(4).map(row).collect::<Option<_>>().ok_or_else(|| corrupt(READ_BOARD, "row"))
}

#[async_trait]
impl Rankings for RedisRankings {
    async fn publish(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<u64, PortError> {
        let operation = "publish standings";
        let mut news = 0;
        for chunk in standings.chunks(PUBLISHED_AT_ONCE) {
            let reply = self.run(operation, board, &PUBLISH, encode(operation, chunk)?).await?;
            if is(&reply, UNBUILT) {
                return Err(unbuilt(operation));
            }
            let count = reply.first().and_then(|count| count.parse::<u64>().ok());
            news += count.ok_or_else(|| corrupt(operation, "answer"))?;
        }
        Ok(news)
    }

    async fn page(&self, board: &BoardId, offset: usize, limit: usize) -> Result<Vec<BoardRow>, PortError> {
        let clamp = |rows: usize| rows.min(u32::MAX as usize).to_string();
        board_rows(&self.read(board, ["page".to_owned(), clamp(offset), clamp(limit)]).await?)
    }

    async fn snapshot(&self, board: &BoardId) -> Result<BoardSnapshot, PortError> {
        let (position, top) = split_position(READ_BOARD, self.read(board, ["snapshot".to_owned()]).await?)?;
        let top = top.into_iter().next().ok_or_else(|| corrupt(READ_BOARD, "top"))?;
        self.topics.follows(&TopicName::of_board(board), &position);
        Ok(BoardSnapshot { position, top: top.into() })
    }

    async fn row(&self, board: &BoardId, user: UserId) -> Result<Option<BoardRow>, PortError> {
        Ok(board_rows(&self.read(board, ["row".to_owned(), user.to_string()]).await?)?.pop())
    }
}

#[async_trait]
impl Rebuild for RedisRankings {
    async fn is_stale(&self, board: &BoardId) -> Result<bool, PortError> {
        let reply = self.run(READ_BOARD, board, &READ, ["marker".to_owned()]).await?;
        Ok(is(&reply, UNBUILT))
    }

    async fn begin(&self, board: &BoardId) -> Result<Building, PortError> {
        let attempt = format!("{:032x}", rand::random::<u128>());
        self.run("begin a board", board, &BEGIN, [attempt.clone()]).await?;
        Ok(Building { board: board.clone(), attempt })
    }

    async fn restore(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<(), PortError> {
        let operation = "restore standings";
        for chunk in standings.chunks(RESTORED_AT_ONCE) {
            self.run(operation, board, &RESTORE, encode(operation, chunk)?).await?;
        }
        Ok(())
    }

    async fn finish(&self, building: Building) -> Result<(), PortError> {
        let operation = "finish a board";
        let reply = self.run(operation, &building.board, &FINISH, [building.attempt]).await?;
        if is(&reply, "superseded") {
            return Err(PortError::new(operation, FailureKind::Unavailable, Superseded));
        }
        Ok(())
    }

    async fn compare(&self, board: &BoardId, standings: &[NamedStanding]) -> Result<Vec<Drift>, PortError> {
        let operation = "compare standings";
        let mut drifted = Vec::new();
        for chunk in standings.chunks(RESTORED_AT_ONCE) {
            let reply = self.run(operation, board, &COMPARE, encode(operation, chunk)?).await?;
            if is(&reply, UNBUILT) {
                return Err(unbuilt(operation));
            }
            for pair in reply.chunks(2) {
                let [place, held] = pair else { return Err(corrupt(operation, "answer")) };
                let standing = place.parse::<usize>().ok().and_then(|place| chunk.get(place));
                let user = standing.ok_or_else(|| corrupt(operation, "place"))?.standing.user;
                drifted.push(Drift { user, held: held.parse().ok() });
            }
        }
        Ok(drifted)
    }

    async fn size(&self, board: &BoardId) -> Result<u64, PortError> {
        let size = self.read(board, ["size".to_owned()]).await?.pop();
        size.and_then(|size| size.parse().ok()).ok_or_else(|| corrupt(READ_BOARD, "size"))
    }
}
