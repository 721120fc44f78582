//! An apalis backend on Redis Streams.
//!
//! A job is a hash (payload, failed tries, crashes) and an entry of a stream that names it. Workers are consumers of
//! one group: fetching is `XREADGROUP`, acknowledging is `XACK` + `XDEL` + deleting the hash, so that Redis' memory
//! returns to its floor. A job whose consumer fell silent is claimed by another (`XAUTOCLAIM`); jobs that merely take
//! long are refreshed at every heartbeat (`XCLAIM … JUSTID`). A failed job leaves the stream for a sorted set until its
//! next try is due. Several steps that belong together are one script.
//!
//! A consumer is a process, whatever becomes of its connection: a worker that lost Redis begins with what it had in
//! hand itself, and blames nobody for silence before it has had Redis for that long.
//!
//! ```text
//!            XADD                XREADGROUP                 XACK + XDEL
//!  (nothing) ─────► stream ─────────────────────► in hand ──────────────► gone
//!                     ▲    due        failed, XACK   │ ▲
//!                     └────────── delayed ◄──────────┘ │ XAUTOCLAIM: its consumer fell silent
//!                                                      └────────────
//! ```

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis_core::backend::codec::Codec;
use apalis_core::backend::finalize::Durable;
use apalis_core::backend::persistence::{Persisted, Persistence, TaskEvent, TaskPersistLayer};
use apalis_core::backend::{Backend, BackendConfig, WireFormatBackend};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::status::Status;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use redis::RedisResult;
use ulid::Ulid;

use super::keys::Keys;
use super::scripts::Scripts;
use crate::redis::RedisHandle;

/// The consumer group of every worker of a queue.
pub(super) const GROUP: &str = "workers";

/// How a queue is worked on.
#[derive(Clone, Copy, Debug)]
pub struct StreamsConfig {
    /// Jobs fetched at once.
    pub batch: usize,
    /// How often a worker shows that it lives, refreshes what it has in hand and looks for orphans.
    pub heartbeat: Duration,
    /// Silence after which a consumer's jobs are orphans; several heartbeats.
    pub silence: Duration,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self { batch: 64, heartbeat: Duration::from_secs(1), silence: Duration::from_secs(5) }
    }
}

/// What goes wrong between worker and Redis.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// Redis is away or refuses.
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
    /// An entry that no worker of ours wrote.
    #[error("the stream holds an entry whose job is no ULID: {0}")]
    ForeignEntry(String),
}

/// The apalis backend: jobs of type `Args`, encoded by `C`.
pub struct RedisStreams<Args, C> {
    persistence: Persisted<StreamsPersistence>,
    codec: C,
    job: PhantomData<fn() -> Args>,
}

impl<Args, C> RedisStreams<Args, C> {
    pub(super) fn new(persistence: StreamsPersistence, codec: C) -> Self {
        Self { persistence: Persisted::new(persistence), codec, job: PhantomData }
    }
}

impl<Args, C> Backend for RedisStreams<Args, C> {
    type Task = Task<Vec<u8>>;
    type Error = StreamsError;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), StreamsError>> {
        let heartbeat = self.persistence.config.heartbeat;
        self.persistence.poll_ready(cx, worker, heartbeat)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, StreamsError>>> {
        self.persistence.poll_next(cx, worker)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), StreamsError>> {
        self.persistence.poll_close(cx, worker)
    }
}

impl<Args, C> BackendConfig for RedisStreams<Args, C> {
    type Args = Args;
    type Id = Ulid;
    type Kind = Durable;
    type Config = StreamsConfig;
    type Layer = TaskPersistLayer<NoResult, ()>;

    fn config(&self) -> &StreamsConfig {
        &self.persistence.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        let batch = self.persistence.config.batch;
        self.persistence.layer(NoResult, batch).persist_results(true).lock_tasks(false)
    }
}

impl<Args, C> WireFormatBackend for RedisStreams<Args, C>
where
    C: Codec<Args, Compact = Vec<u8>> + Send + 'static,
{
    type Codec = C;
    type Compact = Vec<u8>;

    fn codec(&self) -> &C {
        &self.codec
    }
}

/// Results are not kept: what a job did stands where it did it.
#[derive(Clone, Copy, Debug)]
pub struct NoResult;

impl Codec<()> for NoResult {
    type Error = std::convert::Infallible;
    type Compact = ();

    fn encode(&self, (): &()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn decode(&self, (): &()) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A job whose deliveries ended in crashes too often, as the queue's owner decides about it.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) entry: String,
    pub(super) job: String,
    pub(super) payload: Vec<u8>,
    pub(super) crashes: u32,
}

/// Decides about suspects: `true` when it replaced or parked the job, `false` to hand it out all the same.
pub(super) type Judge =
    Arc<dyn Fn(Suspect) -> futures_util::future::BoxFuture<'static, RedisResult<bool>> + Send + Sync>;

/// One row of what `fetch.lua` returns.
type Handed = (String, String, Vec<u8>, usize, u32);

/// The state behind a worker's polls.
#[derive(Clone)]
pub(super) struct StreamsPersistence {
    pub(super) redis: RedisHandle,
    pub(super) keys: Keys,
    pub(super) scripts: Arc<Scripts>,
    pub(super) config: StreamsConfig,
    pub(super) judge: Judge,
    /// This process's name in the consumer group: the same for all lives of its worker.
    consumer: Arc<str>,
    /// Entries in hand, by job.
    held: Arc<Mutex<HashMap<String, String>>>,
    /// Whether the next fetch looks for orphans: once per heartbeat.
    look: Arc<AtomicBool>,
    /// Before this nobody can be blamed for silence: Redis may have been away, or have come back just now.
    look_from: Instant,
    /// Up to which entry what an earlier life of this worker had in hand was handed out again; `None`: all of it.
    resume: Arc<Mutex<Option<String>>>,
}

/// Crashes after which a job is a suspect: so many are no coincidence.
const CRASHES: u32 = 5;

impl StreamsPersistence {
    pub(super) fn new(
        redis: RedisHandle,
        keys: Keys,
        scripts: Arc<Scripts>,
        config: StreamsConfig,
        judge: Judge,
        consumer: Arc<str>,
    ) -> Self {
        Self {
            redis,
            keys,
            scripts,
            config,
            judge,
            consumer,
            held: Arc::default(),
            look: Arc::new(AtomicBool::new(true)),
            look_from: Instant::now() + config.silence,
            resume: Arc::new(Mutex::new(Some("0".to_owned()))),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resume(&self) -> MutexGuard<'_, Option<String>> {
        self.resume.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says of jobs in hand what became of them.
    async fn settle(&mut self, jobs: Vec<(String, &'static str, String)>) -> RedisResult<()> {
        let settled: Vec<(String, String, &'static str, String)> = {
            let mut held = self.held();
            // One that was claimed by another meanwhile is no longer ours to settle.
            jobs.into_iter()
                .filter_map(|(job, outcome, reason)| Some((held.remove(&job)?, job, outcome, reason)))
                .collect()
        };
        if settled.is_empty() {
            return Ok(());
        }
        let mut call = self.scripts.settle.key(&self.keys.stream);
        call.key(&self.keys.delayed).arg(&self.keys.base).arg(GROUP);
        for (entry, job, outcome, reason) in &settled {
            call.arg(entry).arg(job).arg(*outcome).arg(reason);
        }
        self.redis.call(|mut redis| async move { call.invoke_async::<i64>(&mut redis).await }).await.map(|_| ())
    }

    fn task(&self, job: &str, payload: Vec<u8>, attempts: usize) -> Result<Task<Vec<u8>>, StreamsError> {
        let id = Ulid::from_string(job).map_err(|_| StreamsError::ForeignEntry(job.to_owned()))?;
        Ok(TaskBuilder::new(payload).task_id(TaskId::from_ulid(id)).attempt(attempts).build())
    }
}

impl Persistence for StreamsPersistence {
    type Compact = Vec<u8>;
    type Response = ();
    type Error = StreamsError;

    async fn register(&mut self, _: &WorkerContext) -> Result<(), StreamsError> {
        let mut create = redis::cmd("XGROUP");
        create.arg(&["CREATE", &self.keys.stream, GROUP, "0", "MKSTREAM"]);
        let created: RedisResult<()> =
            self.redis.call(|mut redis| async move { create.query_async(&mut redis).await }).await;
        match created {
            // Another worker made it.
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            other => Ok(other?),
        }
    }

    async fn heartbeat(&mut self, _: &WorkerContext) -> Result<(), StreamsError> {
        self.look.store(true, Ordering::Relaxed);
        let entries: Vec<String> = self.held().values().cloned().collect();
        for chunk in entries.chunks(500) {
            let mut claim = redis::cmd("XCLAIM");
            claim.arg(&self.keys.stream).arg(GROUP).arg(&*self.consumer).arg(0).arg(chunk).arg("JUSTID");
            self.redis.call(|mut redis| async move { claim.query_async::<()>(&mut redis).await }).await?;
        }
        Ok(())
    }

    async fn fetch_next(&mut self, _: &WorkerContext) -> Result<Vec<Task<Vec<u8>>>, StreamsError> {
        let look = Instant::now() >= self.look_from && self.look.swap(false, Ordering::Relaxed);
        let silence = if look { self.config.silence.as_millis().to_string() } else { String::new() };
        let resume = self.resume().clone().unwrap_or_default();
        let mut fetch = self.scripts.fetch.key(&self.keys.stream);
        fetch.key(&self.keys.delayed).arg(&self.keys.base).arg(GROUP).arg(&*self.consumer);
        fetch.arg(self.config.batch).arg(silence).arg(resume);
        let (resumed, handed): (String, Vec<Handed>) =
            self.redis.call(|mut redis| async move { fetch.invoke_async(&mut redis).await }).await?;
        *self.resume() = Some(resumed).filter(|entry| !entry.is_empty());
        // As many as were asked for: a dead worker's hands were full, and the rest need not wait for a heartbeat each.
        if handed.iter().filter(|(.., crashes)| *crashes > 0).count() >= self.config.batch {
            self.look.store(true, Ordering::Relaxed);
        }
        let mut tasks = Vec::with_capacity(handed.len());
        for (entry, job, payload, attempts, crashes) in handed {
            if crashes >= CRASHES {
                let suspect = Suspect { entry: entry.clone(), job: job.clone(), payload: payload.clone(), crashes };
                if (self.judge)(suspect).await? {
                    continue;
                }
            }
            tasks.push(self.task(&job, payload, attempts)?);
            self.held().insert(job, entry);
        }
        Ok(tasks)
    }

    async fn reenqueue_abandoned(&mut self, tasks: Vec<Task<Vec<u8>>>, _: &WorkerContext) -> Result<u64, StreamsError> {
        let count = tasks.len() as u64;
        let jobs = tasks.iter().filter_map(|task| Some((task.task_id()?.to_string(), "back", String::new())));
        self.settle(jobs.collect()).await?;
        Ok(count)
    }

    async fn handle_events(&mut self, events: Vec<TaskEvent<()>>, _: &WorkerContext) -> Result<(), StreamsError> {
        let settled = events.into_iter().filter_map(|event| match event {
            TaskEvent::Complete(done) => Some(match done.status {
                Status::Done => (done.task_id.to_string(), "done", String::new()),
                _ => (done.task_id.to_string(), "failed", done.result.err().unwrap_or_default()),
            }),
            _ => None,
        });
        let settled = settled.collect();
        Ok(self.settle(settled).await?)
    }

    async fn push_tasks(&mut self, tasks: Vec<Task<Vec<u8>>>) -> Result<(), StreamsError> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for task in &tasks {
            let job = task.task_id().map_or_else(|| Ulid::generate().to_string(), ToString::to_string);
            pipe.hset_multiple(self.keys.job(&job), &[("payload", &task.args[..]), ("attempts", b"0")]).ignore();
            pipe.xadd(&self.keys.stream, "*", &[("job", &job)]).ignore();
        }
        Ok(self.redis.call(|mut redis| async move { pipe.query_async(&mut redis).await }).await?)
    }
}
