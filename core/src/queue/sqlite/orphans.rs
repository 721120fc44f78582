//! Jobs in the hands of a worker that died. Whoever starts a worker holds the data directory's lock, so every
//! held job is an orphan and is taken back at once.
//!
//! A job that was found orphaned [`CRASHES`] times may be what kills the process: it is cut in half, so that
//! after a few more crashes the one update to blame stands alone and is parked; the others apply. A job of another
//! kind than scores is parked whole.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use ulid::Ulid;

use super::accept::{self, BEGIN, index_rows};
use super::statements as sql;
use crate::domain::{JobId, Micros, ScoreUpdate};
use crate::ports::{DeadLetter, JobKind, PortError};
use crate::queue::JobPayload;
use crate::sqlite::{failed, json_parameter};

/// So many crashes with the same job in hand are no coincidence.
const CRASHES: i64 = 5;
const OPERATION: &str = "take back the jobs of a dead worker";

/// Gives every held job of a kind back to its queue.
///
/// `crashed` says that a process died with them; otherwise only a worker within this process gave up.
pub(super) async fn take_back(writer: &SqlitePool, kind: JobKind, crashed: bool, now: Micros) -> Result<(), PortError> {
    let error = failed(OPERATION);
    let mut tx = writer.begin_with(BEGIN).await.map_err(&error)?;
    let held: Vec<(String, Vec<u8>)> =
        sqlx::query_as(sql::HELD_JOBS).bind(kind.name()).fetch_all(&mut *tx).await.map_err(&error)?;
    let ids: Vec<&str> = held.iter().map(|(id, _)| id.as_str()).collect();
    sqlx::query(sql::FORGET_CRASHES).execute(&mut *tx).await.map_err(&error)?;
    if crashed {
        sqlx::query(sql::COUNT_CRASHES).bind(json_parameter(&ids)).execute(&mut *tx).await.map_err(&error)?;
    }
    sqlx::query(sql::RELEASE_JOBS).bind(kind.name()).execute(&mut *tx).await.map_err(&error)?;
    sqlx::query(sql::FORGET_WORKERS).bind(kind.name()).execute(&mut *tx).await.map_err(&error)?;
    let suspects: Vec<(String, i64, Vec<u8>)> =
        sqlx::query_as(sql::CRASHED_JOBS).bind(CRASHES).bind(kind.name()).fetch_all(&mut *tx).await.map_err(&error)?;
    for (job, count, bytes) in suspects {
        if kind != JobKind::Scores {
            tracing::warn!(job, kind = kind.name(), crashes = count, "a job outlived its workers too often");
            park(&mut tx, kind, job, count, bytes, now).await?;
            continue;
        }
        // What can not be read is the handler's business: it parks the job whole.
        if let Ok(payload) = JobPayload::decode(&bytes) {
            tracing::warn!(
                job,
                crashes = count,
                updates = payload.updates.len(),
                "a job outlived its workers too often"
            );
            split(&mut tx, &job, count, payload.updates, now).await?;
        }
    }
    tx.commit().await.map_err(&error)?;
    if !held.is_empty() {
        tracing::info!(jobs = held.len(), "took back the jobs of a dead worker");
    }
    Ok(())
}

/// Parks a job as it is.
async fn park(
    tx: &mut SqliteConnection,
    kind: JobKind,
    job: String,
    crashes: i64,
    payload: Vec<u8>,
    now: Micros,
) -> Result<(), PortError> {
    remove(tx, &job).await?;
    let reason = "the worker crashed every time it had this job in hand".to_owned();
    let letter = DeadLetter { kind, job: JobId::new(&job), id: job, payload, reason, attempts: tries(crashes) };
    super::bury(tx, &letter, now).await.map_err(failed(OPERATION))
}

async fn remove(tx: &mut SqliteConnection, job: &str) -> Result<(), PortError> {
    sqlx::query(sql::REMOVE_JOB).bind(job).execute(tx).await.map(|_| ()).map_err(failed(OPERATION))
}

fn tries(crashes: i64) -> u32 {
    u32::try_from(crashes).unwrap_or(u32::MAX)
}

/// Replaces a job by its halves, or parks its only update.
async fn split(
    tx: &mut SqliteConnection,
    job: &str,
    crashes: i64,
    mut updates: Vec<ScoreUpdate>,
    now: Micros,
) -> Result<(), PortError> {
    let error = failed(OPERATION);
    remove(tx, job).await?;
    if let [update] = updates.as_slice() {
        let letter = DeadLetter {
            kind: JobKind::Scores,
            id: update.id.to_string(),
            job: JobId::new(job),
            payload: json_parameter(&update).into_bytes(),
            reason: "the worker crashed every time it had this update in hand".to_owned(),
            attempts: tries(crashes),
        };
        return super::bury(tx, &letter, now).await.map_err(error);
    }
    let tail = updates.split_off(updates.len() / 2);
    for half in [updates, tail].into_iter().filter(|half| !half.is_empty()) {
        let id = Ulid::generate();
        sqlx::query(sql::MOVE_KEYS)
            .bind(index_rows(&half))
            .bind(id.to_string())
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        accept::push(tx, JobKind::Scores, id, JobPayload::new(half).encode()).await?;
    }
    Ok(())
}
