//! Jobs and dead letters as a person sees them, and a dead letter as the job it becomes again.

use ulid::Ulid;

use super::JobPayload;
use crate::domain::{JobId, Micros, ScoreUpdate, UpdateId};
use crate::ports::{DeadLetter, JobKind, JobRecord, JobState};

/// What an adapter knows of a job that is not finished.
pub(super) struct Unfinished {
    pub(super) id: String,
    pub(super) state: JobState,
    pub(super) attempts: u32,
    pub(super) due: Option<Micros>,
    pub(super) last_error: Option<String>,
    pub(super) payload: Vec<u8>,
}

impl Unfinished {
    pub(super) fn record(self) -> JobRecord {
        let updates = JobPayload::decode(&self.payload).ok().map(|payload| payload.updates);
        JobRecord {
            job: JobId::new(&self.id),
            kind: JobKind::Scores,
            state: self.state,
            attempts: self.attempts,
            updates: updates.as_ref().map(Vec::len),
            accepted_at: accepted_at(updates.as_deref(), &self.id),
            due: self.due.filter(|_| self.state == JobState::Retrying),
            died_at: None,
            last_error: self.last_error,
            payload: self.payload,
            id: self.id,
        }
    }
}

/// A dead letter as a record.
pub(super) fn dead(letter: DeadLetter, died_at: Micros) -> JobRecord {
    let (_, updates) = requeued(&letter);
    JobRecord {
        accepted_at: accepted_at(updates.as_deref(), letter.job.as_str()),
        id: letter.id,
        job: letter.job,
        kind: JobKind::Scores,
        state: JobState::Dead,
        attempts: letter.attempts,
        updates: updates.as_ref().map(Vec::len),
        due: None,
        died_at: Some(died_at),
        last_error: Some(letter.reason),
        payload: letter.payload,
    }
}

/// Whether an unfinished job carries this update.
pub(super) fn carries(job: &JobRecord, update: &UpdateId) -> bool {
    let carried = JobPayload::decode(&job.payload).map(|payload| payload.updates).unwrap_or_default();
    carried.iter().any(|carried| carried.id == *update)
}

/// The payload of the job that a dead letter becomes, and the updates in it; `None` when it can not be read.
pub(super) fn requeued(letter: &DeadLetter) -> (Vec<u8>, Option<Vec<ScoreUpdate>>) {
    // Under its own id lies a job that was parked whole; under an update's, one update of it.
    let payload =
        if letter.id == letter.job.as_str() { letter.payload.clone() } else { JobPayload::wrap(&letter.payload) };
    let updates = JobPayload::decode(&payload).ok().map(|payload| payload.updates);
    (payload, updates)
}

fn accepted_at(updates: Option<&[ScoreUpdate]>, job: &str) -> Option<Micros> {
    let first = updates.unwrap_or_default().iter().map(|update| update.accepted_at).min();
    // A job's id is a ULID: its first part is when it was made.
    let made = || {
        let made_ms = Ulid::from_string(job).ok()?.timestamp_ms();
        Some(Micros(i64::try_from(made_ms).ok()?.checked_mul(1_000)?))
    };
    first.or_else(made)
}
