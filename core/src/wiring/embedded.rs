//! One process, nothing else installed: SQLite files, rankings and topics in memory.

use std::sync::Arc;

use super::{Deployment, Wiring, WiringError, keeping};
use crate::board_reader::BoardReader;
use crate::data_dir::DataDir;
use crate::domain::BoardId;
use crate::feed_shelf::FeedShelf;
use crate::feeds::SqliteFeeds;
use crate::leases::SoleProcess;
use crate::ledger::SqliteLedger;
use crate::metrics::Metrics;
use crate::ports::{Clock, Rankings};
use crate::queue::SqliteQueue;
use crate::rankings::MemoryRankings;
use crate::rate_limits::LocalRateLimits;
use crate::rebuild;
use crate::replies::MemoryReplies;
use crate::settings::{Feed, Settings};
use crate::topics::MemoryTopics;

/// What only this deployment has.
pub(super) struct Embedded {
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) queue: Arc<SqliteQueue>,
    pub(super) feeds: Arc<SqliteFeeds>,
    pub(super) data_dir: DataDir,
}

pub(super) async fn open(
    settings: &Settings,
    feeds: Arc<[Feed]>,
    clock: Arc<dyn Clock>,
) -> Result<Wiring, WiringError> {
    let data_dir = DataDir::lock(&settings.data_dir)?;
    let ledger = Arc::new(SqliteLedger::open(&data_dir.file("ledger.db"), Arc::clone(&clock)).await?);
    let queue = Arc::new(SqliteQueue::open(&data_dir.file("queue.db"), Arc::clone(&clock)).await?);
    let keeping = keeping(settings, &feeds);
    let topics = Arc::new(MemoryTopics::new(Arc::clone(&keeping), Arc::clone(&clock)));
    let stored = SqliteFeeds::open(&data_dir.file("feeds.db"), Arc::clone(&topics), Arc::clone(&clock)).await?;
    let stored = Arc::new(stored);
    let rankings: Arc<dyn Rankings> = Arc::new(MemoryRankings::new(Arc::clone(&topics), settings.top_rows));
    rebuild::fill(ledger.as_ref(), rankings.as_ref(), &BoardId::main()).await?;
    let metrics: Arc<Metrics> = Arc::default();
    Ok(Wiring {
        ledger: Arc::clone(&ledger) as _,
        roster: Arc::clone(&ledger) as _,
        request_log: Arc::clone(&ledger) as _,
        queue: Arc::clone(&queue) as _,
        unique_jobs: Arc::clone(&queue) as _,
        inspector: Arc::clone(&queue) as _,
        boards: Arc::new(BoardReader::direct(Arc::clone(&rankings))),
        rankings,
        topics,
        replies: Arc::new(MemoryReplies::new(settings.max_connections, metrics.waiting.clone())),
        rate_limits: Arc::new(LocalRateLimits),
        leases: Arc::new(SoleProcess),
        clock,
        metrics,
        feed_store: Arc::clone(&stored) as _,
        feed_shelf: Arc::new(FeedShelf::new(Arc::clone(&stored) as _)),
        feeds,
        keeping,
        deployment: Deployment::Embedded(Arc::new(Embedded { ledger, queue, feeds: stored, data_dir })),
    })
}
