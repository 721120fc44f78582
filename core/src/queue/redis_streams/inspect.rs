//! A person's view of the queue: jobs page by page, dead letters queued again or discarded.

use std::collections::HashSet;

use async_trait::async_trait;
use redis::streams::StreamRangeReply;
use redis::{AsyncCommands, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation};
use ulid::Ulid;

use super::backend::GROUP;
use super::letters::{Buried, CHUNK};
use super::{RedisQueue, fingerprint};
use crate::domain::{JobId, Micros, UpdateId};
use crate::ports::{DeadLetter, JobCursor, JobInspector, JobKind, JobPage, JobRecord, JobState, PortError};
use crate::queue::record::{self, Unfinished, requeued};
use crate::redis::port_error;

const LIST: &str = "list jobs";
const FIND: &str = "look up a job";
const RETRY: &str = "queue dead letters again";
const DISCARD: &str = "discard dead letters";

/// Jobs looked at a time while searching those in hand.
const SEARCHED: usize = 256;
/// Hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 32;

#[async_trait]
impl JobInspector for RedisQueue {
    async fn list(
        &self,
        kind: JobKind,
        state: JobState,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> Result<JobPage, PortError> {
        match state {
            JobState::Dead => self.dead(kind, after, limit).await,
            JobState::Retrying => self.delayed(kind, after, limit).await,
            JobState::Queued | JobState::Running => self.in_stream(kind, state, after, limit).await,
        }
        .map_err(|e| port_error(LIST, e))
    }

    async fn find(&self, id: &str) -> Result<Option<JobRecord>, PortError> {
        let failed = |e| port_error(FIND, e);
        for kind in JobKind::ALL {
            if let Some(dead) = self.dead_letter(kind, id).await.map_err(failed)? {
                return Ok(Some(dead));
            }
            if let Some(job) = self.unfinished(kind, id).await.map_err(failed)? {
                return Ok(Some(job));
            }
        }
        let update = UpdateId::new(id);
        if let Some(job) = self.job_of(&update).await.map_err(failed)?
            && let Some(job) = self.unfinished(JobKind::Scores, job.as_str()).await.map_err(failed)?
            && record::carries(&job, &update)
        {
            return Ok(Some(job));
        }
        // It may have been parked, and its job acknowledged, since the first look.
        for kind in JobKind::ALL {
            if let Some(dead) = self.dead_letter(kind, id).await.map_err(failed)? {
                return Ok(Some(dead));
            }
        }
        Ok(None)
    }

    async fn retry(&self, ids: &[String]) -> Result<Vec<String>, PortError> {
        let mut queued = HashSet::new();
        for (kind, chunk) in kinds_and_chunks(ids) {
            let keys = self.keys(kind);
            let letters = self.letters(kind, chunk).await.map_err(|e| port_error(RETRY, e))?;
            if letters.is_empty() {
                continue;
            }
            let mut call = self.scripts.retry.key(&keys.stream);
            call.key(&keys.dead).key(&keys.died).arg(&keys.base).arg(self.retention.as_secs());
            for (letter, _) in letters {
                let (payload, updates) = requeued(&letter);
                let updates = updates.unwrap_or_default();
                call.arg(&letter.id).arg(Ulid::generate().to_string()).arg(payload).arg(updates.len());
                for update in updates {
                    call.arg(update.id.as_str()).arg(fingerprint(&update));
                }
            }
            queued.extend(self.invoke::<Vec<String>>(call).await.map_err(|e| port_error(RETRY, e))?);
        }
        Ok(in_order(ids, queued))
    }

    async fn discard(&self, ids: &[String]) -> Result<Vec<String>, PortError> {
        let mut gone = HashSet::new();
        for (kind, chunk) in kinds_and_chunks(ids) {
            let keys = self.keys(kind);
            let letters = self.letters(kind, chunk).await.map_err(|e| port_error(DISCARD, e))?;
            if letters.is_empty() {
                continue;
            }
            let mut call = self.scripts.discard.key(&keys.dead);
            call.key(&keys.died).arg(&keys.base).arg(FINGERPRINT);
            for (letter, _) in letters {
                let updates = requeued(&letter).1.unwrap_or_default();
                call.arg(&letter.id).arg(updates.len());
                for update in updates {
                    call.arg(update.id.as_str());
                }
            }
            gone.extend(self.invoke::<Vec<String>>(call).await.map_err(|e| port_error(DISCARD, e))?);
        }
        Ok(in_order(ids, gone))
    }
}

/// A letter does not say whose it is: every kind's queue is asked for every chunk of ids.
fn kinds_and_chunks(ids: &[String]) -> impl Iterator<Item = (JobKind, &[String])> {
    ids.chunks(CHUNK).flat_map(|chunk| JobKind::ALL.map(|kind| (kind, chunk)))
}

/// Those that were decided about, in the order they were named.
fn in_order(ids: &[String], mut decided: HashSet<String>) -> Vec<String> {
    ids.iter().filter_map(|id| decided.take(id)).collect()
}

/// What a job's hash holds of interest: payload, failed tries, why the last one failed.
type Held = (Option<Vec<u8>>, Option<u32>, Option<String>);

impl RedisQueue {
    pub(super) async fn invoke<T: FromRedisValue + Send>(&self, call: ScriptInvocation<'_>) -> RedisResult<T> {
        self.redis.call(|mut redis| async move { call.invoke_async(&mut redis).await }).await
    }

    /// The dead letters of a kind among these ids.
    async fn letters(&self, kind: JobKind, ids: &[String]) -> RedisResult<Vec<(DeadLetter, Micros)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = redis::cmd("HMGET");
        get.arg(&self.keys(kind).dead).arg(ids);
        let kept: Vec<Option<String>> =
            self.redis.call(|mut redis| async move { get.query_async(&mut redis).await }).await?;
        let kept = ids.iter().zip(kept).filter_map(|(id, kept)| Some((id, kept?)));
        let unreadable = |e: serde_json::Error| RedisError::from((ErrorKind::Parse, "a dead letter", e.to_string()));
        kept.map(|(id, kept)| {
            let buried: Buried = serde_json::from_str(&kept).map_err(unreadable)?;
            Ok(buried.letter(kind, id.clone()))
        })
        .collect()
    }

    async fn dead_letter(&self, kind: JobKind, id: &str) -> RedisResult<Option<JobRecord>> {
        let letter = self.letters(kind, &[id.to_owned()]).await?.pop();
        Ok(letter.map(|(letter, died_at)| record::dead(letter, died_at)))
    }

    async fn dead(&self, kind: JobKind, after: Option<&JobCursor>, limit: usize) -> RedisResult<JobPage> {
        let ids = self.page(&self.keys(kind).died, "down", after, limit).await?;
        let next = next(&ids, limit);
        let ids: Vec<String> = ids.into_iter().map(|(id, _)| id).collect();
        let letters = self.letters(kind, &ids).await?;
        let jobs = letters.into_iter().map(|(letter, died_at)| record::dead(letter, died_at)).collect();
        Ok(JobPage { jobs, next })
    }

    async fn delayed(&self, kind: JobKind, after: Option<&JobCursor>, limit: usize) -> RedisResult<JobPage> {
        let jobs = self.page(&self.keys(kind).delayed, "up", after, limit).await?;
        let next = next(&jobs, limit);
        let jobs = jobs.into_iter().map(|(job, due)| (job, JobState::Retrying, Some(due))).collect();
        Ok(JobPage { jobs: self.held(kind, jobs).await?, next })
    }

    /// Members of a sorted set with their scores.
    async fn page(
        &self,
        key: &str,
        direction: &str,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> RedisResult<Vec<(String, i64)>> {
        let mut call = self.scripts.page.key(key);
        call.arg(direction).arg(limit);
        call.arg(after.map_or_else(String::new, |after| after.at.to_string()));
        call.arg(after.map_or("", |after| &after.id));
        self.invoke(call).await
    }

    /// Entries up to the last one delivered are in hand: settling one deletes it.
    async fn in_stream(
        &self,
        kind: JobKind,
        state: JobState,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> RedisResult<JobPage> {
        let delivered = self.delivered(kind).await?;
        let after = after.map(|after| (after.at, after.id.parse().unwrap_or_default()));
        let past = |place: (i64, u64)| format!("({}-{}", place.0, place.1);
        let (start, end) = match state {
            JobState::Running => {
                (after.map_or_else(|| "-".to_owned(), past), format!("{}-{}", delivered.0, delivered.1))
            }
            _ => (past(after.unwrap_or_default().max(delivered)), "+".to_owned()),
        };
        let stream = &self.keys(kind).stream;
        let range: StreamRangeReply =
            self.redis.call(|mut redis| async move { redis.xrange_count(stream, start, end, limit).await }).await?;
        let next = range.ids.last().filter(|_| range.ids.len() == limit).map(|last| {
            let (at, sequence) = place(&last.id);
            JobCursor { at, id: sequence.to_string() }
        });
        let jobs = range.ids.iter().filter_map(|entry| Some((entry.get::<String>("job")?, state, None))).collect();
        Ok(JobPage { jobs: self.held(kind, jobs).await?, next })
    }

    /// The last entry that a worker was given.
    async fn delivered(&self, kind: JobKind) -> RedisResult<(i64, u64)> {
        let stream = &self.keys(kind).stream;
        let groups: RedisResult<redis::streams::StreamInfoGroupsReply> =
            self.redis.call(|mut redis| async move { redis.xinfo_groups(stream).await }).await;
        match groups {
            // Nothing was ever queued.
            Err(error) if error.code() == Some("ERR") => Ok((0, 0)),
            groups => {
                let ours = groups?.groups.into_iter().find(|group| group.name == GROUP);
                Ok(ours.map_or((0, 0), |group| place(&group.last_delivered_id)))
            }
        }
    }

    /// Jobs with what their hashes hold; those finished meanwhile are left out.
    async fn held(&self, kind: JobKind, jobs: Vec<(String, JobState, Option<i64>)>) -> RedisResult<Vec<JobRecord>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for (job, ..) in &jobs {
            pipe.hmget(self.keys(kind).job(job), &["payload", "attempts", "error"]);
        }
        let held: Vec<Held> = self.redis.call(|mut redis| async move { pipe.query_async(&mut redis).await }).await?;
        let records =
            jobs.into_iter().zip(held).filter_map(|((id, state, due_ms), (payload, attempts, last_error))| {
                let due = due_ms.filter(|ms| *ms > 0).map(|ms| Micros(ms.saturating_mul(1_000)));
                let attempts = attempts.unwrap_or_default();
                Some(Unfinished { kind, id, state, attempts, due, last_error, payload: payload? }.record())
            });
        Ok(records.collect())
    }

    async fn unfinished(&self, kind: JobKind, job: &str) -> RedisResult<Option<JobRecord>> {
        let (delayed, id) = (&self.keys(kind).delayed, job);
        let due: Option<i64> = self.redis.call(|mut redis| async move { redis.zscore(delayed, id).await }).await?;
        let state = if due.is_some() { JobState::Retrying } else { JobState::Queued };
        let mut found = self.held(kind, vec![(job.to_owned(), state, due)]).await?.pop();
        if let Some(record) = found.as_mut().filter(|record| record.state == JobState::Queued)
            && self.is_in_hand(kind, job).await?
        {
            record.state = JobState::Running;
        }
        Ok(found)
    }

    /// A job does not know its entry, so those in hand are searched: no more than workers can hold.
    async fn is_in_hand(&self, kind: JobKind, job: &str) -> RedisResult<bool> {
        let mut after = None;
        loop {
            let page = self.in_stream(kind, JobState::Running, after.as_ref(), SEARCHED).await?;
            if page.jobs.iter().any(|record| record.id == job) {
                return Ok(true);
            }
            after = page.next;
            if after.is_none() {
                return Ok(false);
            }
        }
    }

    /// The job this update is indexed under, or named after.
    pub(super) async fn job_of(&self, update: &UpdateId) -> RedisResult<Option<JobId>> {
        let key = self.scores.key(update.as_str());
        let indexed: Option<String> = self.redis.call(|mut redis| async move { redis.get(key).await }).await?;
        let indexed = indexed.and_then(|held| held.get(FINGERPRINT..).map(JobId::new));
        Ok(indexed.or_else(|| update.job()))
    }
}

/// The two numbers of an entry's id.
fn place(entry: &str) -> (i64, u64) {
    let (ms, sequence) = entry.split_once('-').unwrap_or((entry, "0"));
    (ms.parse().unwrap_or_default(), sequence.parse().unwrap_or_default())
}

fn next(page: &[(String, i64)], limit: usize) -> Option<JobCursor> {
    page.last().filter(|_| page.len() == limit).map(|(id, at)| JobCursor { at: *at, id: id.clone() })
}
