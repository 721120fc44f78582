//! The queue on Redis Streams: acceptance with its key index, bookkeeping, and the apalis backend workers run on.
//!
//! Every key of a queue lies in one slot (`{<prefix>q:<kind>}`). See [`backend`] for a job's life.

pub mod backend;
mod inspect;
mod keys;
mod letters;
mod scripts;
mod unique;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::ext::poll_strategy::{PollWith, StreamStrategy};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::BoxStream;
use redis::{AsyncCommands, RedisResult, ScriptInvocation};
use serde::Serialize;
use ulid::Ulid;

use self::backend::{GROUP, RedisStreams, StreamsConfig, StreamsPersistence, Suspect};
use self::keys::Keys;
use self::letters::Buried;
use self::scripts::Scripts;
use super::wakes::armed;
use super::{JobPayload, JobSource, RawCodec, RawPayload};
use crate::domain::{Fingerprint, JobId, Micros, ScoreUpdate, UpdateId};
use crate::ports::{
    Acceptance, Clock, DeadLetter, FailureKind, JobKind, NewUpdate, PortError, Queue, QueueStats, QueuedState,
    QueuedUpdate, UpdateIdentity,
};
use crate::redis::{RedisHandle, port_error};

/// The apalis backend a worker of this queue runs on.
pub type StreamsJobs = PollWith<RedisStreams<RawPayload, RawCodec>, StreamStrategy<BoxStream<'static, ()>>>;

/// A consumer without jobs that was silent for this long is forgotten.
const CONSUMER_KEPT: Duration = Duration::from_secs(600);

/// The queue on Redis Streams.
pub struct RedisQueue {
    redis: RedisHandle,
    scores: Keys,
    fetch: Keys,
    scripts: Arc<Scripts>,
    clock: Arc<dyn Clock>,
    config: StreamsConfig,
    /// This process's name among the consumers.
    consumer: Arc<str>,
    /// How long a key counts.
    retention: Duration,
}

impl RedisQueue {
    /// The queues of all kinds on this Redis; `retention` is how long an update's key deduplicates.
    #[must_use]
    pub fn new(handle: &RedisHandle, config: StreamsConfig, retention: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            redis: handle.clone(),
            scores: Keys::new(handle.prefix(), JobKind::Scores.name()),
            fetch: Keys::new(handle.prefix(), JobKind::Fetch.name()),
            scripts: Arc::new(Scripts::new()),
            clock,
            config,
            consumer: Ulid::generate().to_string().into(),
            retention,
        }
    }

    /// The backend for a new worker. An earlier one of this queue has ended: what it had in hand is handed out again.
    #[must_use]
    pub fn jobs(&self, kind: JobKind) -> JobSource {
        let judge = {
            let (redis, keys, scripts, clock) =
                (self.redis.clone(), self.keys(kind).clone(), Arc::clone(&self.scripts), Arc::clone(&self.clock));
            let retention = self.retention;
            Arc::new(move |suspect| {
                judge(redis.clone(), kind, keys.clone(), Arc::clone(&scripts), clock.now(), retention, suspect).boxed()
            })
        };
        let persistence = StreamsPersistence::new(
            self.redis.clone(),
            self.keys(kind).clone(),
            Arc::clone(&self.scripts),
            self.config,
            judge,
            Arc::clone(&self.consumer),
        );
        let wakes = armed(wake::wakes(self.redis.client(), self.keys(kind).stream.clone()), self.config.heartbeat);
        JobSource::Streams(Box::new(RedisStreams::new(persistence, RawCodec).poll_with_stream(wakes)))
    }

    const fn keys(&self, kind: JobKind) -> &Keys {
        match kind {
            JobKind::Scores => &self.scores,
            JobKind::Fetch => &self.fetch,
        }
    }

    async fn parked(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError> {
        const OPERATION: &str = "look up a dead letter";
        let dead = &self.scores.dead;
        let buried: Option<String> = self
            .redis
            .call(|mut redis| async move { redis.hget(dead, id.as_str()).await })
            .await
            .map_err(|e| port_error(OPERATION, e))?;
        let Some(buried) = buried else { return Ok(None) };
        let corrupt = |e: serde_json::Error| PortError::new(OPERATION, FailureKind::Corrupt, e);
        let buried: Buried = serde_json::from_str(&buried).map_err(corrupt)?;
        let (letter, died_at) = buried.letter(JobKind::Scores, id.to_string());
        // A whole job that nobody could read is parked under its own id, which is no update's.
        let Ok(update) = serde_json::from_slice::<ScoreUpdate>(&letter.payload) else { return Ok(None) };
        Ok(Some(QueuedUpdate {
            update,
            state: QueuedState::Dead,
            attempts: letter.attempts,
            last_error: Some(letter.reason),
            died_at: Some(died_at),
        }))
    }

    /// Runs `accept.lua`.
    async fn push(&self, call: ScriptInvocation<'_>) -> Result<Vec<String>, PortError> {
        self.redis
            .call(|mut redis| async move { call.invoke_async(&mut redis).await })
            .await
            .map_err(|e| port_error("queue updates", e))
    }

    async fn waiting(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError> {
        const OPERATION: &str = "look up a queued update";
        let failed = |e| port_error(OPERATION, e);
        let Some(job) = self.job_of(id).await.map_err(failed)? else { return Ok(None) };
        let key = self.scores.job(job.as_str());
        let held: (Option<Vec<u8>>, Option<u32>, Option<String>) = self
            .redis
            .call(|mut redis| async move { redis.hmget(key, &["payload", "attempts", "error"]).await })
            .await
            .map_err(failed)?;
        let (Some(payload), attempts, error) = held else { return Ok(None) };
        let payload = JobPayload::decode(&payload).map_err(|e| PortError::new(OPERATION, FailureKind::Corrupt, e))?;
        let attempts = attempts.unwrap_or_default();
        let state = if attempts == 0 { QueuedState::Queued } else { QueuedState::Retrying };
        Ok(payload.updates.into_iter().find(|update| update.id == *id).map(|update| QueuedUpdate {
            update,
            state,
            attempts,
            last_error: error,
            died_at: None,
        }))
    }

    async fn forget_consumers(&self, kind: JobKind) -> RedisResult<()> {
        let stream = &self.keys(kind).stream;
        let known: redis::streams::StreamInfoConsumersReply =
            self.redis.call(|mut redis| async move { redis.xinfo_consumers(stream, GROUP).await }).await?;
        for consumer in known.consumers {
            if consumer.pending == 0 && consumer.idle as u128 > CONSUMER_KEPT.as_millis() {
                let name = &consumer.name;
                let forget = |mut redis: redis::aio::MultiplexedConnection| async move {
                    redis.xgroup_delconsumer::<_, _, _, u64>(stream, GROUP, name).await
                };
                self.redis.call(forget).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn accept(&self, updates: Vec<NewUpdate>) -> Result<Vec<Acceptance>, PortError> {
        let job = JobId::new(Ulid::generate().to_string());
        let mut call = self.scripts.accept.key(&self.scores.stream);
        call.arg(&self.scores.base).arg(job.as_str()).arg(self.retention.as_secs());
        let identify = |(index, update): (usize, NewUpdate)| {
            let (keyed, id) = match &update.identity {
                UpdateIdentity::Keyless => (false, UpdateId::keyless(&job, index)),
                UpdateIdentity::Keyed(id) => (true, id.clone()),
            };
            (keyed, update, id)
        };
        if updates.iter().all(|update| update.identity == UpdateIdentity::Keyless) {
            // Nothing to compare: Redis need not take the job apart.
            let updates = updates.into_iter().enumerate().map(identify);
            let updates: Vec<_> = updates.map(|(_, update, id)| update.accepted_as(id)).collect();
            let ids: Vec<_> = updates.iter().map(|update| Acceptance::Accepted(update.id.clone())).collect();
            call.arg(JobPayload::new(updates).encode());
            self.push(call).await?;
            return Ok(ids);
        }
        call.arg("");
        let mut ids = Vec::with_capacity(updates.len());
        for (keyed, update, id) in updates.into_iter().enumerate().map(identify) {
            call.arg(if keyed { id.as_str() } else { "" }).arg(crate::domain::hex(&update.fingerprint().0));
            call.arg(json(&update.accepted_as(id.clone())));
            ids.push(id);
        }
        let answers = self.push(call).await?;
        Ok(ids
            .into_iter()
            .zip(answers)
            .map(|(id, answer)| match answer.as_str() {
                "A" => Acceptance::Accepted(id),
                "R" => Acceptance::Replayed(id),
                _ => Acceptance::KeyReused(id),
            })
            .collect())
    }

    async fn find_update(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError> {
        if let Some(dead) = self.parked(id).await? {
            return Ok(Some(dead));
        }
        match self.waiting(id).await? {
            Some(waiting) => Ok(Some(waiting)),
            // It may have been parked, and its job acknowledged, between the two looks.
            None => self.parked(id).await,
        }
    }

    async fn delay(&self, kind: JobKind, job: &JobId, wait: Duration) -> Result<(), PortError> {
        let now_ms = self.clock.now().0 / 1_000;
        let due = now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let key = self.keys(kind).job(job.as_str());
        self.redis
            .call(|mut redis| async move { redis.hset::<_, _, _, ()>(key, "due", due).await })
            .await
            .map_err(|e| port_error("delay a job", e))
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        for kind in JobKind::ALL {
            let letters: Vec<&DeadLetter> = letters.iter().filter(|letter| letter.kind == kind).collect();
            letters::bury(&self.redis, self.keys(kind), &self.scripts, &letters, self.clock.now())
                .await
                .map_err(|e| port_error("park a dead letter", e))?;
        }
        Ok(())
    }

    async fn stats(&self, kind: JobKind) -> Result<QueueStats, PortError> {
        let keys = self.keys(kind);
        let mut pipe = redis::pipe();
        pipe.xlen(&keys.stream).zcard(&keys.delayed).hlen(&keys.dead).xrange_count(&keys.stream, "-", "+", 1).zrange(
            &keys.delayed,
            0,
            0,
        );
        let (queued, delayed, dead, first, waiting): (u64, u64, u64, redis::streams::StreamRangeReply, Vec<String>) =
            self.redis
                .call(|mut redis| async move { pipe.query_async(&mut redis).await })
                .await
                .map_err(|e| port_error("count queued jobs", e))?;
        let queued_job = first.ids.first().and_then(|entry| entry.get::<String>("job"));
        // A job's id is a ULID: its first part is when it was accepted.
        let accepted_ms = queued_job
            .into_iter()
            .chain(waiting)
            .filter_map(|job| Some(Ulid::from_string(&job).ok()?.timestamp_ms()))
            .min();
        let now_ms = u64::try_from(self.clock.now().0 / 1_000).unwrap_or_default();
        let oldest = accepted_ms.map_or(0, |accepted| now_ms.saturating_sub(accepted));
        Ok(QueueStats { depth: queued + delayed, oldest: Duration::from_millis(oldest), dead })
    }

    /// Finished jobs are gone when they are acknowledged and keys expire by themselves: only consumers remain.
    async fn trim(&self, _: Micros, _: usize) -> Result<u64, PortError> {
        for kind in JobKind::ALL {
            match self.forget_consumers(kind).await {
                // No worker has made the group yet.
                Err(error) if matches!(error.code(), Some("NOGROUP" | "ERR")) => {}
                other => other.map_err(|e| port_error("forget silent consumers", e))?,
            }
        }
        Ok(0)
    }
}

/// Cuts a suspect in half, or parks its only update. What can not be read is handed out: the handler parks it whole.
/// A suspect of another kind than scores is parked whole.
async fn judge(
    redis: RedisHandle,
    kind: JobKind,
    keys: Keys,
    scripts: Arc<Scripts>,
    now: Micros,
    retention: Duration,
    suspect: Suspect,
) -> RedisResult<bool> {
    let (letter, halves) = match kind {
        JobKind::Scores => match JobPayload::decode(&suspect.payload) {
            Ok(payload) => cut(&suspect, payload.updates),
            Err(_) => return Ok(false),
        },
        JobKind::Fetch => {
            let whole = suspect.payload.clone();
            (Some(suspect.letter(kind, suspect.job.clone(), whole, "job")), Vec::new())
        }
    };
    tracing::warn!(
        job = suspect.job,
        kind = kind.name(),
        crashes = suspect.crashes,
        "a job outlived its workers too often"
    );
    if let Some(letter) = letter {
        letters::bury(&redis, &keys, &scripts, &[&letter], now).await?;
    }
    let mut call = scripts.split.key(&keys.stream);
    call.arg(&keys.base).arg(GROUP).arg(&suspect.entry).arg(&suspect.job).arg(retention.as_secs()).arg(halves.len());
    for half in halves {
        call.arg(Ulid::generate().to_string());
        let index: Vec<_> = half.iter().map(|update| (update.id.clone(), fingerprint(update))).collect();
        call.arg(JobPayload::new(half).encode()).arg(index.len());
        for (id, fingerprint) in index {
            call.arg(id.as_str()).arg(fingerprint);
        }
    }
    redis.call(|mut redis| async move { call.invoke_async::<i64>(&mut redis).await }).await?;
    Ok(true)
}

/// What becomes of updates that outlived their workers: parked when there is one, else the halves.
fn cut(suspect: &Suspect, mut updates: Vec<ScoreUpdate>) -> (Option<DeadLetter>, Vec<Vec<ScoreUpdate>>) {
    if let [update] = updates.as_slice() {
        let payload = json(update).into_bytes();
        return (Some(suspect.letter(JobKind::Scores, update.id.to_string(), payload, "update")), Vec::new());
    }
    let tail = updates.split_off(updates.len() / 2);
    (None, vec![updates, tail])
}

impl Suspect {
    fn letter(&self, kind: JobKind, id: String, payload: Vec<u8>, what: &str) -> DeadLetter {
        let reason = format!("the worker crashed every time it had this {what} in hand");
        DeadLetter { kind, id, job: JobId::new(&self.job), payload, reason, attempts: self.crashes }
    }
}

/// What the index keeps beside an update's job.
fn fingerprint(update: &ScoreUpdate) -> String {
    crate::domain::hex(&Fingerprint::of(&update.board, update.user, update.operator).0)
}

fn json(value: &impl Serialize) -> String {
    // Plain structs of strings and numbers always serialise.
    serde_json::to_string(value).unwrap_or_else(|e| unreachable!("a plain struct serialises: {e}"))
}
