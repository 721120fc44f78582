//! The queue on SQLite: apalis' own tables, with ours beside them in the same file so that one transaction
//! holds both a job and the index of its keys.
//!
//! Traps of the stock storage that are avoided here: `setup()` switches durability off, so the file is opened
//! with our own options and only its migrations are run; an index that makes acknowledging quadratic is
//! dropped; a failed job would be fetched again at once, so its `run_at` is moved before the failure is
//! acknowledged; orphans are taken back at start at once instead of after missed heartbeats, since the data
//! directory's lock says that no other process can own them.
//!
//! Accepting commits with `synchronous=FULL`. Fetching and acknowledging do not wait for the disk: losing one
//! means that a job is delivered again, which the ledger absorbs.

mod accept;
mod inspect;
mod orphans;
pub mod statements;
mod unique;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::ext::poll_strategy::{PollWith, StreamStrategy};
use apalis_core::backend::ext::with_codec::WithCodec;
use apalis_sqlite::{Config, SqliteStorage};
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow, SqliteSynchronous};
use tokio::sync::Notify;

use self::statements as sql;
use super::wakes::armed;
use super::{JobPayload, JobSource, RawCodec, RawPayload};
use crate::domain::{JobId, Micros, ScoreUpdate, UpdateId};
use crate::ports::{
    Acceptance, Clock, DeadLetter, FailureKind, JobKind, NewUpdate, PortError, Queue, QueueStats, QueuedState,
    QueuedUpdate,
};
use crate::sqlite::{OpenError, SqliteFile, failed};

/// The apalis backend a worker of this queue runs on.
pub type SqliteJobs = PollWith<WithCodec<SqliteStorage<RawPayload>, RawCodec>, StreamStrategy<BoxStream<'static, ()>>>;

/// Jobs fetched at once; also bounds how many are lost to a crash and delivered again.
const FETCH: usize = 64;
/// How often a worker looks without being woken: for jobs whose wait is over.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The queue in a SQLite file.
pub struct SqliteQueue {
    file: SqliteFile,
    clock: Arc<dyn Clock>,
    scores: Lane,
    fetch: Lane,
}

/// What the queue of each kind has of its own within a process.
#[derive(Default)]
struct Lane {
    /// Wakes the worker.
    wake: Arc<Notify>,
    /// Whether this process has taken back what an earlier one left: later orphans are not a crash's.
    taken_back: AtomicBool,
}

impl SqliteQueue {
    /// Opens or creates the file and brings both schemas up to date.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let theirs = SqliteStorage::migrations();
        let mut ours = sqlx::migrate!("../migrations/sqlite/queue");
        // Two migrators on one table would each miss the other's versions.
        ours.dangerous_set_table_name("_scorewire_migrations");
        let file = SqliteFile::open(path, SqliteSynchronous::Normal, &[theirs, ours]).await?;
        Ok(Self { file, clock, scores: Lane::default(), fetch: Lane::default() })
    }

    /// Takes back what a dead worker held and returns the backend for a new one.
    ///
    /// # Errors
    /// When the file can not be read or written.
    pub async fn jobs(&self, kind: JobKind) -> Result<JobSource, PortError> {
        let lane = self.lane(kind);
        let crashed = !lane.taken_back.load(Ordering::Relaxed);
        orphans::take_back(&self.file.writer, kind, crashed, self.clock.now()).await?;
        lane.taken_back.store(true, Ordering::Relaxed);
        let config = Config::default()
            .queue(kind.name())
            .batch_size(FETCH)
            .heartbeat_interval(HEARTBEAT)
            // Nobody else can own a job here: `take_back` does it at once.
            .missed_heartbeats(1_000_000)
            .lock_tasks(false);
        let wake = Arc::clone(&lane.wake);
        // A notification that comes while nobody waits is kept, so none is missed.
        let wake = stream::unfold(wake, |wake| async move {
            wake.notified().await;
            Some(((), wake))
        });
        let storage = SqliteStorage::new(&self.file.writer).with_config(config).with_codec(RawCodec);
        Ok(JobSource::Sqlite(Box::new(storage.poll_with_stream(armed(wake, HEARTBEAT)))))
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.file.close().await;
    }

    /// Prepares every statement, and says which one failed.
    ///
    /// # Errors
    /// The statement's text with the database's error.
    pub async fn prepare_all(&self) -> Result<(), String> {
        self.file.prepare_all(&sql::ALL).await
    }

    const fn lane(&self, kind: JobKind) -> &Lane {
        match kind {
            JobKind::Scores => &self.scores,
            JobKind::Fetch => &self.fetch,
        }
    }

    async fn parked(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError> {
        let error = failed("look up a dead letter");
        let row = sqlx::query(sql::FIND_DEAD_LETTER).bind(id.as_str()).fetch_optional(&self.file.readers).await;
        match row.map_err(&error)? {
            Some(row) => dead_update(id, &row).map_err(error),
            None => Ok(None),
        }
    }

    async fn waiting(&self, id: &UpdateId) -> Result<Option<QueuedUpdate>, PortError> {
        const OPERATION: &str = "look up a queued update";
        let indexed: Option<String> = sqlx::query_scalar(sql::JOB_OF_UPDATE)
            .bind(id.as_str())
            .fetch_optional(&self.file.readers)
            .await
            .map_err(failed(OPERATION))?;
        let Some(job) = indexed.map(JobId::new).or_else(|| id.job()) else { return Ok(None) };
        let row = sqlx::query(sql::UNFINISHED_JOB)
            .bind(job.as_str())
            .fetch_optional(&self.file.readers)
            .await
            .map_err(failed(OPERATION))?;
        // A job of another kind carries no updates.
        let Some(row) =
            row.filter(|row| row.try_get("job_type").is_ok_and(|kind: &str| kind == JobKind::Scores.name()))
        else {
            return Ok(None);
        };
        queued_update(id, &row).map_err(failed(OPERATION))
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn accept(&self, updates: Vec<NewUpdate>) -> Result<Vec<Acceptance>, PortError> {
        let acceptances = accept::accept(&self.file.writer, updates, self.clock.now()).await?;
        self.scores.wake.notify_one();
        Ok(acceptances)
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

    async fn delay(&self, _: JobKind, job: &JobId, wait: Duration) -> Result<(), PortError> {
        // apalis counts in whole seconds; rounding up never makes a job early.
        let run_at = self.clock.now().unix_seconds() + i64::try_from(wait.as_secs()).unwrap_or(i64::MAX / 2) + 1;
        sqlx::query(sql::DELAY_JOB)
            .bind(job.as_str())
            .bind(run_at)
            .execute(&self.file.writer)
            .await
            .map(|_| ())
            .map_err(failed("delay a job"))
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let error = failed("park a dead letter");
        let mut tx = self.file.writer.begin_with(accept::BEGIN).await.map_err(&error)?;
        for letter in letters {
            bury(&mut tx, letter, self.clock.now()).await.map_err(&error)?;
        }
        tx.commit().await.map_err(&error)
    }

    async fn stats(&self, kind: JobKind) -> Result<QueueStats, PortError> {
        let error = failed("count queued jobs");
        let row = sqlx::query(sql::STATS).bind(kind.name()).fetch_one(&self.file.readers).await.map_err(&error)?;
        let depth: i64 = row.try_get("depth").map_err(&error)?;
        let dead: i64 = row.try_get("dead").map_err(&error)?;
        let oldest: Option<&str> = row.try_get("oldest").map_err(&error)?;
        // A job's id is a ULID: its first part is when it was accepted.
        let accepted_ms = oldest.and_then(|id| ulid::Ulid::from_string(id).ok()).map(|id| id.timestamp_ms());
        let now_ms = u64::try_from(self.clock.now().0 / 1_000).unwrap_or_default();
        Ok(QueueStats {
            depth: depth.unsigned_abs(),
            oldest: Duration::from_millis(accepted_ms.map_or(0, |accepted| now_ms.saturating_sub(accepted))),
            dead: dead.unsigned_abs(),
        })
    }

    async fn trim(&self, keys_before: Micros, limit: usize) -> Result<u64, PortError> {
        let error = failed("trim finished jobs");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let jobs = sqlx::query(sql::TRIM_JOBS).bind(limit).execute(&self.file.writer).await.map_err(&error)?;
        let keys = sqlx::query(sql::TRIM_KEYS)
            .bind(keys_before.0)
            .bind(limit)
            .execute(&self.file.writer)
            .await
            .map_err(&error)?;
        Ok(jobs.rows_affected() + keys.rows_affected())
    }
}

/// Parks a letter, once.
async fn bury(tx: &mut SqliteConnection, letter: &DeadLetter, now: Micros) -> Result<(), sqlx::Error> {
    let bury = sqlx::query(sql::BURY)
        .bind(&letter.id)
        .bind(letter.job.as_str())
        .bind(letter.kind.name())
        .bind(&letter.payload)
        .bind(&letter.reason)
        .bind(letter.attempts)
        .bind(now.0);
    bury.execute(tx).await.map(|_| ())
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// `None` when the job is not (or no longer) about this update.
fn queued_update(id: &UpdateId, row: &SqliteRow) -> Result<Option<QueuedUpdate>, sqlx::Error> {
    let payload = JobPayload::decode(row.try_get("job")?).map_err(unreadable)?;
    let Some(update) = payload.updates.into_iter().find(|update| update.id == *id) else { return Ok(None) };
    let attempts: u32 = row.try_get("attempts")?;
    Ok(Some(QueuedUpdate {
        update,
        state: if attempts == 0 { QueuedState::Queued } else { QueuedState::Retrying },
        attempts,
        last_error: row.try_get::<Option<String>, _>("last_result")?.map(|text| failure_text(&text)),
        died_at: None,
    }))
}

/// apalis stores a result as JSON: `{"Err":"…"}`.
fn failure_text(result: &str) -> String {
    serde_json::from_str::<serde_json::Value>(result)
        .ok()
        .and_then(|value| Some(value.get("Err")?.as_str()?.to_owned()))
        .unwrap_or_else(|| result.to_owned())
}

/// `None` for a parked job that could not be read: it is under the job's id, which is no update's.
fn dead_update(id: &UpdateId, row: &SqliteRow) -> Result<Option<QueuedUpdate>, sqlx::Error> {
    let update = serde_json::from_slice::<ScoreUpdate>(row.try_get("payload")?).ok();
    let Some(update) = update.filter(|update| update.id == *id) else { return Ok(None) };
    Ok(Some(QueuedUpdate {
        update,
        state: QueuedState::Dead,
        attempts: row.try_get("attempts")?,
        last_error: Some(row.try_get("reason")?),
        died_at: Some(Micros(row.try_get("died_at")?)),
    }))
}

fn rejected(operation: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::new(operation, FailureKind::Rejected, error)
}
