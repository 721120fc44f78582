//! Jobs and dead letters as a person sees them, and a dead letter as the job it becomes again.

use ulid::Ulid;

use super::JobPayload;
use crate::domain::{JobId, Micros, ScoreUpdate, UpdateId};
use crate::ports::{DeadLetter, JobKind, JobRecord, JobState};

/// What an adapter knows of a job that is not finished.
pub(super) struct Unfinished {
    pub(super) kind: JobKind,
    pub(super) id: String,
    pub(super) state: JobState,
    pub(super) attempts: u32,
    pub(super) due: Option<Micros>,
    pub(super) last_error: Option<String>,
    pub(super) payload: Vec<u8>,
}

impl Unfinished {
    pub(super) fn record(self) -> JobRecord {
        let updates = updates(self.kind, &self.payload);
        JobRecord {
            job: JobId::new(&self.id),
            kind: self.kind,
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
        kind: letter.kind,
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

/// The payload of the job that a dead letter becomes, and the updates in it; `None` when it can not be read or is of
/// another kind.
pub(super) fn requeued(letter: &DeadLetter) -> (Vec<u8>, Option<Vec<ScoreUpdate>>) {
    // Under its own id lies a job that was parked whole; under an update's, one update of it.
    let payload =
        if letter.id == letter.job.as_str() { letter.payload.clone() } else { JobPayload::wrap(&letter.payload) };
    let updates = updates(letter.kind, &payload);
    (payload, updates)
}

/// Only jobs of kind scores carry updates.
fn updates(kind: JobKind, payload: &[u8]) -> Option<Vec<ScoreUpdate>> {
    match kind {
        JobKind::Scores => JobPayload::decode(payload).ok().map(|payload| payload.updates),
        JobKind::Fetch => None,
    }
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
