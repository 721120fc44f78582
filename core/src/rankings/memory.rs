//! Rankings in this process's memory, rebuilt from the ledger at every start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Superseded, messages};
use crate::domain::{BoardId, Leaderboard, NamedStanding, Ranked, TopicName, Upsert, UserId};
use crate::ports::{BoardRow, BoardSnapshot, Building, Drift, FailureKind, PortError, Rankings, Rebuild};
use crate::topics::MemoryTopics;

/// A board and what viewers were last told of its top.
struct PublishedBoard {
    order: Leaderboard,
    /// The board that is being rebuilt beside it, under the name of the attempt.
    rebuilt: Option<(String, Leaderboard)>,
    topic: TopicName,
    top: Arc<str>,
}

impl PublishedBoard {
    fn new(board: &BoardId) -> Self {
        Self { order: Leaderboard::default(), rebuilt: None, topic: TopicName::of_board(board), top: "[]".into() }
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
            if let Some((_, rebuilt)) = &mut board.rebuilt {
                rebuilt.upsert(named);
            }
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

#[async_trait]
impl Rebuild for MemoryRankings {
    /// Never: the board is built before anybody can ask, and nobody else can lose it.
    async fn is_stale(&self, _: &BoardId) -> Result<bool, PortError> {
        Ok(false)
    }

    /// The board in use stays in use until the other one is finished.
    async fn begin(&self, id: &BoardId) -> Result<Building, PortError> {
        let attempt = format!("{:032x}", rand::random::<u128>());
        board(&mut self.lock(), id).rebuilt = Some((attempt.clone(), Leaderboard::default()));
        Ok(Building { board: id.clone(), attempt })
    }

    async fn restore(&self, id: &BoardId, standings: &[NamedStanding]) -> Result<(), PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, id);
        let order = board.rebuilt.as_mut().map_or(&mut board.order, |(_, rebuilt)| rebuilt);
        for named in standings {
            order.upsert(named);
        }
        board.render_top(self.top_rows);
        Ok(())
    }

    async fn finish(&self, building: Building) -> Result<(), PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, &building.board);
        match board.rebuilt.take() {
            Some((attempt, rebuilt)) if attempt == building.attempt => board.order = rebuilt,
            other => {
                board.rebuilt = other;
                return Err(PortError::new("finish a board", FailureKind::Unavailable, Superseded));
            }
        }
        board.render_top(self.top_rows);
        self.topics.begin_now(&board.topic);
        Ok(())
    }

    async fn compare(&self, id: &BoardId, standings: &[NamedStanding]) -> Result<Vec<Drift>, PortError> {
        let mut boards = self.lock();
        let board = board(&mut boards, id);
        let drift = |NamedStanding { standing, .. }: &NamedStanding| {
            let held = board.order.get(standing.user);
            let same = held.is_some_and(|held| {
                (held.version, held.score, held.reached_at) == (standing.version, standing.score, standing.reached_at)
            });
            (!same).then(|| Drift { user: standing.user, held: held.map(|held| held.version) })
        };
        Ok(standings.iter().filter_map(drift).collect())
    }

    async fn size(&self, id: &BoardId) -> Result<u64, PortError> {
        Ok(board(&mut self.lock(), id).order.len() as u64)
    }
}
