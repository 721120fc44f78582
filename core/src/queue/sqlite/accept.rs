//! Accepting: one transaction writes the job and the index of its keys.

use std::collections::{HashMap, HashSet};

use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_sqlite::SqliteTask;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use ulid::Ulid;

use super::rejected;
use super::statements as sql;
use crate::domain::{Fingerprint, JobId, Micros, ScoreUpdate, UpdateId};
use crate::ports::{Acceptance, JobKind, NewUpdate, PortError, UpdateIdentity};
use crate::queue::JobPayload;
use crate::sqlite::{failed, json_parameter};

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
const OPERATION: &str = "queue updates";

/// Our own maximum decides when to give up, not the storage's.
const NO_LIMIT: usize = i32::MAX as usize;

pub(super) async fn accept(
    writer: &SqlitePool,
    updates: Vec<NewUpdate>,
    now: Micros,
) -> Result<Vec<Acceptance>, PortError> {
    let mut connection = writer.acquire().await.map_err(failed(OPERATION))?;
    // Only this commit answers somebody who may rely on it, so only this one waits for the disk. It flushes
    // everything written before it, too.
    wait_for_disk(&mut connection, true).await.map_err(failed(OPERATION))?;
    let accepted = accept_in(&mut connection, updates, now).await;
    // A connection that goes on waiting for the disk is only slower; what was accepted stays accepted.
    let _ = wait_for_disk(&mut connection, false).await;
    accepted
}

/// Whether the next commits wait until they are on the disk.
pub(super) async fn wait_for_disk(connection: &mut SqliteConnection, wait: bool) -> Result<(), sqlx::Error> {
    let pragma = if wait { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
    sqlx::query(pragma).execute(connection).await.map(|_| ())
}

async fn accept_in(
    connection: &mut SqliteConnection,
    updates: Vec<NewUpdate>,
    now: Micros,
) -> Result<Vec<Acceptance>, PortError> {
    use sqlx::Connection;
    let job = Ulid::generate();
    let job_id = JobId::new(job.to_string());
    let mut tx = connection.begin_with(BEGIN).await.map_err(failed(OPERATION))?;
    let mut new = index_keys(&mut tx, &updates, &job_id, now).await?;
    let held = held_keys(&mut tx, &updates, &new).await?;
    let mut seen: HashMap<UpdateId, Fingerprint> = held;
    let mut acceptances = Vec::with_capacity(updates.len());
    let mut jobs = Vec::with_capacity(updates.len());
    for (index, update) in updates.into_iter().enumerate() {
        let id = match &update.identity {
            UpdateIdentity::Keyless => UpdateId::keyless(&job_id, index),
            UpdateIdentity::Keyed(id) if new.remove(id) => {
                seen.insert(id.clone(), update.fingerprint());
                id.clone()
            }
            UpdateIdentity::Keyed(id) => {
                let same = seen.get(id) == Some(&update.fingerprint());
                let id = id.clone();
                acceptances.push(if same { Acceptance::Replayed(id) } else { Acceptance::KeyReused(id) });
                continue;
            }
        };
        acceptances.push(Acceptance::Accepted(id.clone()));
        jobs.push(update.accepted_as(id));
    }
    if !jobs.is_empty() {
        push(&mut tx, JobKind::Scores, job, JobPayload::new(jobs).encode()).await?;
    }
    tx.commit().await.map_err(failed(OPERATION))?;
    Ok(acceptances)
}

/// Indexes the keys of a batch; returns those that are new.
async fn index_keys(
    tx: &mut SqliteConnection,
    updates: &[NewUpdate],
    job: &JobId,
    now: Micros,
) -> Result<HashSet<UpdateId>, PortError> {
    let rows: Vec<(&UpdateId, String)> = updates
        .iter()
        .filter_map(|update| match &update.identity {
            UpdateIdentity::Keyed(id) => Some((id, hex(update.fingerprint()))),
            UpdateIdentity::Keyless => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let new: Vec<String> = sqlx::query_scalar(sql::INDEX_KEYS)
        .bind(json_parameter(&rows))
        .bind(job.as_str())
        .bind(now.0)
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(new.into_iter().map(UpdateId::new).collect())
}

/// The fingerprints of keys that were accepted before this batch.
async fn held_keys(
    tx: &mut SqliteConnection,
    updates: &[NewUpdate],
    new: &HashSet<UpdateId>,
) -> Result<HashMap<UpdateId, Fingerprint>, PortError> {
    let held: Vec<&UpdateId> = updates
        .iter()
        .filter_map(|update| match &update.identity {
            UpdateIdentity::Keyed(id) if !new.contains(id) => Some(id),
            _ => None,
        })
        .collect();
    if held.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as(sql::INDEXED_KEYS).bind(json_parameter(&held)).fetch_all(tx).await.map_err(failed(OPERATION))?;
    rows.into_iter()
        .map(|(id, bytes)| {
            let bytes = <[u8; 16]>::try_from(bytes)
                .map_err(|_| failed(OPERATION)(sqlx::Error::Decode("a fingerprint has 16 bytes".into())))?;
            Ok((UpdateId::new(id), Fingerprint(bytes)))
        })
        .collect()
}

/// Pushes a job through apalis, inside our transaction.
pub(super) async fn push(
    tx: &mut SqliteConnection,
    kind: JobKind,
    id: Ulid,
    payload: Vec<u8>,
) -> Result<(), PortError> {
    const OPERATION: &str = "queue a job";
    let task: SqliteTask = TaskBuilder::new(payload).task_id(TaskId::from_ulid(id)).max_attempts(NO_LIMIT).build();
    apalis_sqlite::queries::push_tasks(tx, kind.name(), &[task]).await.map_err(|error| match error {
        apalis_sqlite::Error::Database(error) => failed(OPERATION)(error),
        other => rejected(OPERATION, other),
    })
}

/// Index rows of updates that are queued already: [id, fingerprint in hexadecimal].
pub(super) fn index_rows(updates: &[ScoreUpdate]) -> String {
    let rows: Vec<_> = updates.iter().map(|u| (&u.id, hex(Fingerprint::of(&u.board, u.user, u.operator)))).collect();
    json_parameter(&rows)
}

fn hex(fingerprint: Fingerprint) -> String {
    crate::domain::hex(&fingerprint.0)
}
