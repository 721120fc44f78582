//! How each adapter is set up for the suites: a guard that lives as long as the port is used, and the empty port.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use scorewire_core::domain::{BoardId, Micros};
use scorewire_core::leases::{RedisLeases, SoleProcess};
use scorewire_core::ledger::{PostgresLedger, PostgresOptions, SqliteLedger};
use scorewire_core::ports::{Clock, JobInspector, JobKind, Queue, Rebuild, SystemClock, Topics, UniqueJobs};
use scorewire_core::queue::redis_streams::backend::StreamsConfig;
use scorewire_core::queue::{RedisQueue, SqliteQueue};
use scorewire_core::rankings::{MemoryRankings, RedisRankings};
use scorewire_core::rate_limits::{LocalRateLimits, Patience, RedisRateLimits};
use scorewire_core::redis::RedisHandle;
use scorewire_core::replies::{MemoryReplies, RedisReplies};
use scorewire_core::settings::units::Failing;
use scorewire_core::topics::{MemoryTopics, RedisTopics};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use super::leases::Fleet;
use super::ledger::Books;
use super::queue::WorkedQueue;
use super::rankings::{Boards, TOP_ROWS};
use super::replies::PLACES;
use super::topics::keeping;
use super::{rate_limits, replies};
use crate::postgres_server::PrivatePostgres;
use crate::redis_server::PrivateRedis;
use crate::support::DEADLINE;

/// A wall clock that somebody keeps setting back.
#[derive(Debug, Default)]
pub(super) struct JumpyClock {
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

pub(super) async fn postgres_ledger() -> (Arc<PrivatePostgres>, Arc<dyn Books>) {
    let server = PrivatePostgres::shared().await;
    let url = server.fresh_database().await;
    let ledger =
        PostgresLedger::connect(&url, PostgresOptions::default(), Arc::new(SystemClock)).expect("a ledger's URL");
    PostgresLedger::migrate(&url).await.expect("migrated");
    (server, Arc::new(ledger))
}

#[async_trait]
impl Books for PostgresLedger {
    async fn prepare_all(&self) -> Result<(), String> {
        PostgresLedger::prepare_all(self).await
    }
}

/// The queue with a hand on its file, to finish jobs as apalis would.
struct SqliteWorkedQueue {
    queue: SqliteQueue,
    path: PathBuf,
    file: SqlitePool,
}

pub(super) async fn sqlite_queue() -> (TempDir, Arc<dyn WorkedQueue>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path: PathBuf = dir.path().join("queue.db");
    let queue = SqliteQueue::open(&path, Arc::new(SystemClock)).await.expect("a queue");
    let file = SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(&path));
    (dir, Arc::new(SqliteWorkedQueue { queue, path, file }))
}

#[async_trait]
impl WorkedQueue for SqliteWorkedQueue {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn inspector(&self) -> &dyn JobInspector {
        &self.queue
    }

    fn unique_jobs(&self) -> &dyn UniqueJobs {
        &self.queue
    }

    /// Two never share the file outside tests; one after the other, they find what is in it.
    async fn another_process(&self) -> Arc<dyn UniqueJobs> {
        Arc::new(SqliteQueue::open(&self.path, Arc::new(SystemClock)).await.expect("the same file"))
    }

    async fn take_all_in_hand(&self) {
        let take = "UPDATE Jobs SET status = 'Queued' WHERE status = 'Pending'";
        sqlx::query(take).execute(&self.file).await.expect("taken");
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

pub(super) async fn memory_topics() -> ((), Arc<dyn Topics>) {
    ((), Arc::new(MemoryTopics::new(keeping(), Arc::new(JumpyClock::default()))))
}

pub(super) async fn memory_rankings() -> ((), Arc<Boards>) {
    let topics = Arc::new(MemoryTopics::new(keeping(), Arc::new(JumpyClock::default())));
    let rankings = Arc::new(MemoryRankings::new(Arc::clone(&topics), TOP_ROWS));
    ((), Arc::new(Boards { rankings, topics }))
}

/// A part of the shared server's keys that no other test uses.
pub(super) async fn redis() -> (Arc<PrivateRedis>, RedisHandle) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let server = PrivateRedis::shared();
    let prefix = format!("contract-{}:", NEXT.fetch_add(1, Ordering::Relaxed));
    let handle = RedisHandle::connect(&server.url(), &prefix).await.expect("Redis is there");
    (server, handle)
}

pub(super) async fn redis_topics() -> (Arc<PrivateRedis>, Arc<dyn Topics>) {
    let (server, handle) = redis().await;
    (server, Arc::new(RedisTopics::start(handle, keeping()).await.expect("topics")))
}

pub(super) async fn redis_rankings() -> (Arc<PrivateRedis>, Arc<Boards>) {
    let (server, handle) = redis().await;
    let topics = Arc::new(RedisTopics::start(handle, keeping()).await.expect("topics"));
    let rankings = Arc::new(RedisRankings::new(Arc::clone(&topics), TOP_ROWS));
    // A board on Redis is built before its first use, so that an empty cache is never taken for an empty board.
    for board in ["main", "other"] {
        let building = rankings.begin(&BoardId::new(board)).await.expect("begun");
        rankings.finish(building).await.expect("finished");
    }
    (server, Arc::new(Boards { rankings, topics }))
}

pub(super) async fn sole_process() -> ((), Arc<Fleet>) {
    ((), Arc::new(Fleet { processes: vec![Arc::new(SoleProcess)] }))
}

pub(super) async fn redis_leases() -> (Arc<PrivateRedis>, Arc<Fleet>) {
    let (server, handle) = redis().await;
    let process = || Arc::new(RedisLeases::new(handle.clone())) as _;
    (server, Arc::new(Fleet { processes: (0..3).map(|_| process()).collect() }))
}

pub(super) async fn memory_replies() -> ((), Arc<replies::Processes>) {
    let gauge = Gauge::default();
    let waiting = Arc::new(MemoryReplies::new(PLACES, gauge.clone()));
    ((), Arc::new(replies::Processes { deciding: Arc::clone(&waiting) as _, waiting, gauge }))
}

pub(super) async fn redis_replies() -> (Arc<PrivateRedis>, Arc<replies::Processes>) {
    let (server, handle) = redis().await;
    let gauge = Gauge::default();
    let waiting = RedisReplies::start(handle.clone(), PLACES, gauge.clone()).await.expect("replies");
    let deciding = RedisReplies::start(handle, PLACES, Gauge::default()).await.expect("replies");
    (server, Arc::new(replies::Processes { waiting: Arc::new(waiting), deciding: Arc::new(deciding), gauge }))
}

pub(super) async fn local_rate_limits() -> ((), Arc<rate_limits::Processes>) {
    ((), Arc::new(vec![Arc::new(LocalRateLimits)]))
}

pub(super) async fn redis_rate_limits() -> (Arc<PrivateRedis>, Arc<rate_limits::Processes>) {
    let (server, handle) = redis().await;
    // A slow machine is no Redis that is away.
    let patience = Patience { answer: DEADLINE, pause: DEADLINE };
    let process = || Arc::new(RedisRateLimits::with_patience(handle.clone(), Failing::Closed, patience)) as _;
    (server, Arc::new((0..3).map(|_| process()).collect()))
}

/// The queue with a hand on its keys, to finish jobs as apalis would.
struct RedisWorkedQueue {
    queue: RedisQueue,
    handle: RedisHandle,
    raw: redis::aio::MultiplexedConnection,
}

pub(super) async fn redis_queue() -> (Arc<PrivateRedis>, Arc<dyn WorkedQueue>) {
    let (server, handle) = redis().await;
    let queue = redis_queue_of(&handle);
    let client = redis::Client::open(server.url()).expect("a URL");
    let raw = client.get_multiplexed_async_connection().await.expect("Redis is there");
    (server, Arc::new(RedisWorkedQueue { queue, handle, raw }))
}

fn redis_queue_of(handle: &RedisHandle) -> RedisQueue {
    let retention = Duration::from_secs(24 * 3_600);
    RedisQueue::new(handle, StreamsConfig::default(), retention, Arc::new(SystemClock))
}

impl RedisWorkedQueue {
    /// What the keys of each kind begin with.
    fn bases(&self) -> [String; 2] {
        JobKind::ALL.map(|kind| format!("{{{}q:{}}}", self.handle.prefix(), kind.name()))
    }

    /// Takes every job out of a stream.
    async fn take_all(&self, base: &str) -> Vec<String> {
        let take = redis::Script::new(
            "local jobs = {}
             for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
               redis.call('XDEL', KEYS[1], entry[1])
               jobs[#jobs + 1] = entry[2][2]
             end
             return jobs",
        );
        let stream = format!("{base}:stream");
        take.key(stream).invoke_async(&mut self.raw.clone()).await.expect("taken")
    }
}

#[async_trait]
impl WorkedQueue for RedisWorkedQueue {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn inspector(&self) -> &dyn JobInspector {
        &self.queue
    }

    fn unique_jobs(&self) -> &dyn UniqueJobs {
        &self.queue
    }

    async fn another_process(&self) -> Arc<dyn UniqueJobs> {
        Arc::new(redis_queue_of(&self.handle))
    }

    async fn take_all_in_hand(&self) {
        for base in self.bases() {
            let stream = format!("{base}:stream");
            let mut create = redis::cmd("XGROUP");
            create.arg(&["CREATE", &stream, "workers", "0", "MKSTREAM"]);
            // Made by an earlier call, if at all.
            let _ = create.query_async::<()>(&mut self.raw.clone()).await;
            let mut read = redis::cmd("XREADGROUP");
            read.arg(&["GROUP", "workers", "worker", "COUNT", "1000", "STREAMS", &stream, ">"]);
            read.query_async::<redis::Value>(&mut self.raw.clone()).await.expect("taken");
        }
    }

    async fn finish_all(&self) {
        for base in self.bases() {
            for job in self.take_all(&base).await {
                let key = format!("{base}:job:{job}");
                redis::cmd("DEL").arg(key).query_async::<()>(&mut self.raw.clone()).await.expect("finished");
            }
        }
    }

    async fn fail_all(&self, reason: &str) {
        for base in self.bases() {
            for job in self.take_all(&base).await {
                let mut pipe = redis::pipe();
                let key = format!("{base}:job:{job}");
                pipe.hincr(&key, "attempts", 1).ignore().hset(&key, "error", reason).ignore();
                pipe.zadd(format!("{base}:delayed"), &job, 0).ignore();
                pipe.query_async::<()>(&mut self.raw.clone()).await.expect("failed");
            }
        }
    }

    async fn prepare_all(&self) -> Result<(), String> {
        Ok(())
    }
}
