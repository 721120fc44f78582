//! How each adapter is set up for the suites: a guard that lives as long as the port is used, and the empty port.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use scorewire_core::domain::{Micros, RingLimits};
use scorewire_core::ledger::SqliteLedger;
use scorewire_core::ports::{Clock, Queue, SystemClock, Topics};
use scorewire_core::queue::SqliteQueue;
use scorewire_core::rankings::MemoryRankings;
use scorewire_core::topics::MemoryTopics;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use super::ledger::Books;
use super::queue::WorkedQueue;
use super::rankings::{Boards, TOP_ROWS};
use super::topics::KEPT_MESSAGES;

/// A wall clock that somebody keeps setting back.
#[derive(Debug, Default)]
struct JumpyClock {
    reads: AtomicI64,
}

impl Clock for JumpyClock {
    fn now(&self) -> Micros {
        let back = self.reads.fetch_add(1, Ordering::Relaxed) % 5 * 1_000;
        Micros(SystemClock.now().0 - back)
    }
}

pub(super) async fn sqlite_ledger() -> (TempDir, Arc<dyn Books>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db"), Arc::new(SystemClock)).await;
    (dir, Arc::new(ledger.expect("a ledger")))
}

#[async_trait]
impl Books for SqliteLedger {
    async fn prepare_all(&self) -> Result<(), String> {
        SqliteLedger::prepare_all(self).await
    }
}

/// The queue with a hand on its file, to finish jobs as apalis would.
struct SqliteWorkedQueue {
    queue: SqliteQueue,
    file: SqlitePool,
}

pub(super) async fn sqlite_queue() -> (TempDir, Arc<dyn WorkedQueue>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path: PathBuf = dir.path().join("queue.db");
    let queue = SqliteQueue::open(&path, Arc::new(SystemClock)).await.expect("a queue");
    let file = SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(&path));
    (dir, Arc::new(SqliteWorkedQueue { queue, file }))
}

#[async_trait]
impl WorkedQueue for SqliteWorkedQueue {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    async fn finish_all(&self) {
        let finish = "UPDATE Jobs SET status = 'Done', done_at = unixepoch(), attempts = attempts + 1";
        sqlx::query(finish).execute(&self.file).await.expect("finished");
    }

    async fn fail_all(&self, reason: &str) {
        let fail = "UPDATE Jobs SET status = 'Failed', attempts = attempts + 1, last_result = json_object('Err', ?1)";
        sqlx::query(fail).bind(reason).execute(&self.file).await.expect("failed");
    }

    async fn prepare_all(&self) -> Result<(), String> {
        self.queue.prepare_all().await
    }
}

fn ring_limits() -> RingLimits {
    RingLimits { messages: KEPT_MESSAGES, age_us: 3_600_000_000 }
}

pub(super) async fn memory_topics() -> ((), Arc<dyn Topics>) {
    ((), Arc::new(MemoryTopics::new(ring_limits(), Arc::new(JumpyClock::default()))))
}

pub(super) async fn memory_rankings() -> ((), Arc<Boards>) {
    let topics = Arc::new(MemoryTopics::new(ring_limits(), Arc::new(JumpyClock::default())));
    let rankings = Arc::new(MemoryRankings::new(Arc::clone(&topics), TOP_ROWS));
    ((), Arc::new(Boards { rankings, topics }))
}
