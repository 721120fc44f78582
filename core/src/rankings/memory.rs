//! Rankings in this process's memory, rebuilt from the ledger at every start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::messages;
use crate::domain::{BoardId, Leaderboard, NamedStanding, Ranked, TopicName, Upsert, UserId};
use crate::ports::{BoardRow, BoardSnapshot, PortError, Rankings};
use crate::topics::MemoryTopics;

/// A board and what viewers were last told of its top.
struct PublishedBoard {
    order: Leaderboard,
    topic: TopicName,
    top: Arc<str>,
}

impl PublishedBoard {
    fn new(board: &BoardId) -> Self {
        Self { order: Leaderboard::default(), topic: TopicName::of_board(board), top: "[]".into() }
    }

    /// Renders the top anew; says whether it changed.
    fn render_top(&mut self, rows: usize) -> bool {
        let rows: Vec<BoardRow> = self.order.page(0, rows).iter().map(messages::row).collect();
        let top = messages::json(&rows);
        let changed = top != self.top;
        self.top = top;
        changed
    }
}

/// Boards in memory.
pub struct MemoryRankings {
    boards: Mutex<HashMap<BoardId, PublishedBoard>>,
    topics: Arc<MemoryTopics>,
    top_rows: usize,
}

impl MemoryRankings {
    /// No boards yet; each begins with its first use. `top_rows` is how many rows a `top` message carries.
    #[must_use]
    pub fn new(topics: Arc<MemoryTopics>, top_rows: usize) -> Self {
        Self { boards: Mutex::default(), topics, top_rows }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BoardId, PublishedBoard>> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn board<'a>(boards: &'a mut HashMap<BoardId, PublishedBoard>, id: &BoardId) -> &'a mut PublishedBoard {
    boards.entry(id.clone()).or_insert_with(|| PublishedBoard::new(id))
}

fn ranked(order: &Leaderboard, user: UserId) -> Option<Ranked<'_>> {
    Some(Ranked { rank: order.rank(user)?, user, entry: order.get(user)? })
}

#[async_trait]
impl Rankings for MemoryRankings {
    async fn publish(&self, id: &BoardId, standings: &[NamedStanding]) -> Result<u64, PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, id);
        let mut changes = Vec::new();
        let mut news = 0;
        for named in standings {
            match board.order.upsert(named) {
                Upsert::Stale => {}
                Upsert::Inserted => {
                    news += 1;
                    if named.standing.score != 0 {
                        changes.push((named.standing.user, i128::from(named.standing.score)));
                    }
                }
                Upsert::Changed { difference } => {
                    news += 1;
                    if difference != 0 {
                        changes.push((named.standing.user, difference));
                    }
                }
            }
        }
        if news == 0 {
            return Ok(0);
        }
        // Ranks are read after all changes, so that one batch's messages agree with each other.
        let mut messages: Vec<_> = changes
            .into_iter()
            .filter_map(|(user, difference)| Some(messages::update(&ranked(&board.order, user)?, difference)))
            .collect();
        if board.render_top(self.top_rows) {
            messages.push(messages::top(&board.top));
        }
        // Appended under the board's lock: a snapshot taken under it belongs to the position read with it.
        self.topics.append_now(&board.topic, messages);
        Ok(news)
    }

    async fn restore(&self, id: &BoardId, standings: &[NamedStanding]) -> Result<(), PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, id);
        for named in standings {
            board.order.upsert(named);
        }
        board.render_top(self.top_rows);
        Ok(())
    }

    async fn page(&self, id: &BoardId, offset: usize, limit: usize) -> Result<Vec<BoardRow>, PortError> {
        let boards = self.lock();
        Ok(boards
            .get(id)
            .map(|board| board.order.page(offset, limit).iter().map(messages::row).collect())
            .unwrap_or_default())
    }

    async fn snapshot(&self, id: &BoardId) -> Result<BoardSnapshot, PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, id);
        Ok(BoardSnapshot { position: self.topics.position_now(&board.topic), top: Arc::clone(&board.top) })
    }

    async fn row(&self, id: &BoardId, user: UserId) -> Result<Option<BoardRow>, PortError> {
        let boards = self.lock();
        Ok(boards.get(id).and_then(|board| ranked(&board.order, user)).map(|ranked| messages::row(&ranked)))
    }
}
