//! A person's view of the queue: jobs page by page, dead letters queued again or discarded.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use ulid::Ulid;

use super::accept::{self, BEGIN, index_rows};
use super::statements as sql;
use super::{SqliteQueue, failure_text};
use crate::domain::{JobId, Micros, UpdateId};
use crate::ports::{DeadLetter, JobCursor, JobInspector, JobKind, JobPage, JobRecord, JobState, PortError};
use crate::queue::record::{self, Unfinished, requeued};
use crate::sqlite::{failed, json_parameter};

const LIST: &str = "list jobs";
const FIND: &str = "look up a job";
const RETRY: &str = "queue dead letters again";
const DISCARD: &str = "discard dead letters";

#[async_trait]
impl JobInspector for SqliteQueue {
    async fn list(
        &self,
        kind: JobKind,
        state: JobState,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> Result<JobPage, PortError> {
        let error = failed(LIST);
        let kind = kind.name();
        let rows_limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match state {
            JobState::Dead => sqlx::query(sql::DEAD_LETTERS)
                .bind(kind)
                .bind(after.map_or(i64::MAX, |after| after.at))
                .bind(after.map_or("", |after| &after.id)),
            unfinished => sqlx::query(sql::JOBS_IN_STATE)
                .bind(kind)
                .bind(json_parameter(&statuses(unfinished)))
                .bind(after.map_or("", |after| &after.id)),
        };
        let rows = query.bind(rows_limit).fetch_all(&self.file.readers).await.map_err(&error)?;
        let jobs: Vec<JobRecord> = rows.iter().map(read).collect::<Result<_, _>>().map_err(&error)?;
        let next = jobs
            .last()
            .filter(|_| jobs.len() == limit)
            .map(|last| JobCursor { at: last.died_at.map_or(0, |died_at| died_at.0), id: last.id.clone() });
        Ok(JobPage { jobs, next })
    }

    async fn find(&self, id: &str) -> Result<Option<JobRecord>, PortError> {
        if let Some(dead) = self.one(sql::FIND_DEAD_LETTER, id).await? {
            return Ok(Some(dead));
        }
        if let Some(job) = self.one(sql::UNFINISHED_JOB, id).await? {
            return Ok(Some(job));
        }
        let update = UpdateId::new(id);
        let indexed: Option<String> = sqlx::query_scalar(sql::JOB_OF_UPDATE)
            .bind(id)
            .fetch_optional(&self.file.readers)
            .await
            .map_err(failed(FIND))?;
        if let Some(job) = indexed.map(JobId::new).or_else(|| update.job())
            && let Some(job) = self.one(sql::UNFINISHED_JOB, job.as_str()).await?
            && record::carries(&job, &update)
        {
            return Ok(Some(job));
        }
        // It may have been parked, and its job acknowledged, since the first look.
        self.one(sql::FIND_DEAD_LETTER, id).await
    }

    async fn retry(&self, ids: &[String]) -> Result<Vec<String>, PortError> {
        let error = failed(RETRY);
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        let letters = take(&mut tx, ids).await.map_err(&error)?;
        for letter in &letters {
            let job = Ulid::generate();
            let (payload, updates) = requeued(letter);
            sqlx::query(sql::MOVE_KEYS)
                .bind(index_rows(&updates.unwrap_or_default()))
                .bind(job.to_string())
                .bind(self.clock.now().0)
                .execute(&mut *tx)
                .await
                .map_err(&error)?;
            accept::push(&mut tx, letter.kind, job, payload).await?;
        }
        tx.commit().await.map_err(&error)?;
        for kind in JobKind::ALL {
            self.lane(kind).wake.notify_one();
        }
        Ok(letters.into_iter().map(|letter| letter.id).collect())
    }

    async fn discard(&self, ids: &[String]) -> Result<Vec<String>, PortError> {
        let error = failed(DISCARD);
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        let letters = take(&mut tx, ids).await.map_err(&error)?;
        for letter in &letters {
            let (_, updates) = requeued(letter);
            let keys: Vec<UpdateId> = updates.into_iter().flatten().map(|update| update.id).collect();
            sqlx::query(sql::FORGET_KEYS)
                .bind(letter.job.as_str())
                .bind(json_parameter(&keys))
                .execute(&mut *tx)
                .await
                .map_err(&error)?;
        }
        tx.commit().await.map_err(&error)?;
        Ok(letters.into_iter().map(|letter| letter.id).collect())
    }
}

impl SqliteQueue {
    async fn one(&self, statement: &'static str, id: &str) -> Result<Option<JobRecord>, PortError> {
        let error = failed(FIND);
        let row = sqlx::query(statement).bind(id).fetch_optional(&self.file.readers).await.map_err(&error)?;
        row.as_ref().map(read).transpose().map_err(error)
    }
}

/// apalis' words for a state.
const fn statuses(state: JobState) -> &'static [&'static str] {
    match state {
        JobState::Queued => &["Pending"],
        JobState::Running => &["Queued", "Running"],
        JobState::Retrying => &["Failed"],
        JobState::Dead => &[],
    }
}

/// Takes dead letters away, in the order of their ids.
async fn take(tx: &mut SqliteConnection, ids: &[String]) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query(sql::TAKE_DEAD_LETTERS).bind(json_parameter(&ids)).fetch_all(tx).await?;
    let mut letters: Vec<DeadLetter> = rows.iter().map(letter).collect::<Result<_, _>>()?;
    let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    letters.sort_by_key(|letter| places.get(letter.id.as_str()).copied());
    Ok(letters)
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        kind: kind(row.try_get("kind")?)?,
        id: row.try_get("id")?,
        job: JobId::new(row.try_get::<&str, _>("job_id")?),
        payload: row.try_get("payload")?,
        reason: row.try_get("reason")?,
        attempts: row.try_get("attempts")?,
    })
}

fn kind(name: &str) -> Result<JobKind, sqlx::Error> {
    name.parse().map_err(|why: String| sqlx::Error::Decode(why.into()))
}

/// A dead letter's row has a time of death, a job's a status.
fn read(row: &SqliteRow) -> Result<JobRecord, sqlx::Error> {
    let status: &str = match row.try_get("status") {
        Err(sqlx::Error::ColumnNotFound(_)) => return Ok(record::dead(letter(row)?, Micros(row.try_get("died_at")?))),
        status => status?,
    };
    let state = match status {
        "Pending" => JobState::Queued,
        "Failed" => JobState::Retrying,
        _ => JobState::Running,
    };
    let unfinished = Unfinished {
        kind: kind(row.try_get("job_type")?)?,
        id: row.try_get("id")?,
        state,
        attempts: row.try_get("attempts")?,
        due: Some(Micros(row.try_get::<i64, _>("run_at")?.saturating_mul(1_000_000))),
        last_error: row.try_get::<Option<String>, _>("last_result")?.map(|text| failure_text(&text)),
        payload: row.try_get("job")?,
    };
    Ok(unfinished.record())
}
