//! Jobs of which one at a time is enough: claim, slot and job change in one transaction.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use ulid::Ulid;

use super::accept::{self, BEGIN};
use super::{SqliteQueue, statements as sql};
use crate::domain::{JobId, Micros};
use crate::ports::{Enqueued, JobKind, NewJob, PortError, SLOT_AHEAD_US, UniqueJobs};
use crate::sqlite::failed;

const ENQUEUE: &str = "queue a job";
const HOLD: &str = "hold a claim";
const FINISH: &str = "give a claim back";

#[async_trait]
impl UniqueJobs for SqliteQueue {
    async fn enqueue(&self, job: NewJob) -> Result<Enqueued, PortError> {
        let kind = job.kind;
        let mut connection = self.file.writer.acquire().await.map_err(failed(ENQUEUE))?;
        accept::wait_for_disk(&mut connection, true).await.map_err(failed(ENQUEUE))?;
        let enqueued = enqueue(&mut connection, job, self.clock.now()).await;
        // A connection that goes on waiting for the disk is only slower; what was queued stays queued.
        let _ = accept::wait_for_disk(&mut connection, false).await;
        let enqueued = enqueued?;
        if matches!(enqueued, Enqueued::Queued(_)) {
            self.lane(kind).wake.notify_one();
        }
        Ok(enqueued)
    }

    async fn hold(&self, kind: JobKind, claim: &str, job: &JobId, until: Micros) -> Result<bool, PortError> {
        let error = failed(HOLD);
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        let held = find(&mut tx, kind, claim, self.clock.now()).await.map_err(&error)?;
        if held.holder.is_some_and(|holder| holder != *job) {
            return Ok(false);
        }
        take(&mut tx, kind, claim, job, until).await.map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(true)
    }

    async fn finished(&self, kind: JobKind, claim: &str, job: &JobId) -> Result<(), PortError> {
        sqlx::query(sql::GIVE_CLAIM_BACK)
            .bind(kind.name())
            .bind(claim)
            .bind(job.as_str())
            .execute(&self.file.writer)
            .await
            .map(|_| ())
            .map_err(failed(FINISH))
    }
}

async fn enqueue(connection: &mut SqliteConnection, job: NewJob, now: Micros) -> Result<Enqueued, PortError> {
    let error = failed(ENQUEUE);
    let mut tx = connection.begin_with(BEGIN).await.map_err(&error)?;
    let held = find(&mut tx, job.kind, &job.claim, now).await.map_err(&error)?;
    if let Some(slot) = job.slot {
        let set_back = |fired: i64| fired.saturating_sub(slot.0) > SLOT_AHEAD_US;
        if held.slot.is_some_and(|fired| fired >= slot.0 && !set_back(fired)) {
            return Ok(Enqueued::SlotTaken);
        }
        sqlx::query(sql::TAKE_SLOT)
            .bind(job.kind.name())
            .bind(&job.claim)
            .bind(slot.0)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
    }
    let enqueued = match held.holder {
        Some(holder) => {
            if job.replaces {
                let replaced = sqlx::query(sql::REPLACE_PAYLOAD)
                    .bind(holder.as_str())
                    .bind(job.payload)
                    .execute(&mut *tx)
                    .await
                    .map_err(&error)?;
                if replaced.rows_affected() > 0 {
                    let until = job.claim_until.max(held.until);
                    take(&mut tx, job.kind, &job.claim, &holder, until).await.map_err(&error)?;
                }
            }
            Enqueued::Claimed(holder)
        }
        None => {
            let id = Ulid::generate();
            accept::push(&mut tx, job.kind, id, job.payload).await?;
            let id = JobId::new(id.to_string());
            take(&mut tx, job.kind, &job.claim, &id, job.claim_until).await.map_err(&error)?;
            Enqueued::Queued(id)
        }
    };
    tx.commit().await.map_err(&error)?;
    Ok(enqueued)
}

/// What is remembered of a claim.
struct Held {
    /// The unfinished job that holds it now.
    holder: Option<JobId>,
    until: Micros,
    slot: Option<i64>,
}

async fn find(tx: &mut SqliteConnection, kind: JobKind, claim: &str, now: Micros) -> Result<Held, sqlx::Error> {
    let row = sqlx::query(sql::FIND_CLAIM).bind(kind.name()).bind(claim).bind(now.0).fetch_optional(tx).await?;
    let Some(row) = row else { return Ok(Held { holder: None, until: Micros(0), slot: None }) };
    Ok(Held {
        holder: row.try_get::<Option<String>, _>("holder")?.map(JobId::new),
        until: Micros(row.try_get::<Option<i64>, _>("until")?.unwrap_or_default()),
        slot: row.try_get("slot")?,
    })
}

async fn take(
    tx: &mut SqliteConnection,
    kind: JobKind,
    claim: &str,
    job: &JobId,
    until: Micros,
) -> Result<(), sqlx::Error> {
    let take = sqlx::query(sql::TAKE_CLAIM).bind(kind.name()).bind(claim).bind(job.as_str()).bind(until.0);
    take.execute(tx).await.map(|_| ())
}
