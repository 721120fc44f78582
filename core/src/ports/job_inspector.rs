//! A person's view of the queue: what is in it, and what becomes of work that was given up on.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use super::{JobKind, PortError};
use crate::domain::{JobId, Micros};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// In the hands of a worker.
    Running,
    /// Failed before, waits for its next try.
    Retrying,
    /// Given up on and parked: a dead letter.
    Dead,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Retrying, Self::Dead];

    /// The state's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
        }
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == word)
            .ok_or_else(|| format!("choose from: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A job, or a dead letter, as a person looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// The job's id. A dead letter's: its update's, or its job's where the job could not be read.
    pub id: String,
    /// The job. A dead letter's: the one it was parked from.
    pub job: JobId,
    /// Whose queue it is in.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// Failed tries so far.
    pub attempts: u32,
    /// How many updates it carries; `None` when it can not be read, and for any other kind than scores.
    pub updates: Option<usize>,
    /// When the first of its updates was accepted, or else the job was made.
    pub accepted_at: Option<Micros>,
    /// When its next try is due, while it is [`JobState::Retrying`].
    pub due: Option<Micros>,
    /// When it was parked.
    pub died_at: Option<Micros>,
    /// Why the last try failed, if one did.
    pub last_error: Option<String>,
    /// What it carries, byte for byte: JSON unless it can not be read.
    pub payload: Vec<u8>,
}

/// Where a page ended. Opaque to whoever hands it back; written as `<number>~<text>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCursor {
    /// What the adapter orders by.
    pub at: i64,
    /// What decides among equals.
    pub id: String,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no page ended there: use the `next` of the page before")]
pub struct CursorError;

impl fmt::Display for JobCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.at, self.id)
    }
}

impl FromStr for JobCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (at, id) = text.split_once('~').ok_or(CursorError)?;
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        match at.parse() {
            Ok(at) if plain => Ok(Self { at, id: id.to_owned() }),
            _ => Err(CursorError),
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPage {
    /// At most as many as were asked for.
    pub jobs: Vec<JobRecord>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<JobCursor>,
}

/// Looks at jobs and decides about dead letters.
///
/// Obligations: pages name everything that stays in its state once; dead letters come newest first, so that
/// paging ends though letters die meanwhile. `retry` takes a letter away and queues it in one atomic step, as a
/// new job with all its tries before it: of two retries one queues, and the update is found under the new job.
/// Its id stays the same, so the ledger still applies it once. `discard` forgets the letter with the keys its
/// updates were accepted under: the next request with such a key is a new one. A dead letter that could not be
/// read is retried with the same bytes; the keys in it are unknown and stay until their retention is over. So is a
/// dead letter of another kind than scores, without its claim: its worker asks for that when it has it in hand.
#[async_trait]
pub trait JobInspector: Send + Sync {
    /// Jobs of a kind in a state, from the end of another page on.
    async fn list(
        &self,
        kind: JobKind,
        state: JobState,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> Result<JobPage, PortError>;
    /// The dead letter or unfinished job of any kind with this id, or the unfinished job that carries the update with it.
    async fn find(&self, id: &str) -> Result<Option<JobRecord>, PortError>;
    /// Queues dead letters again; returns the ids of those that were dead, in the order they were named.
    async fn retry(&self, ids: &[String]) -> Result<Vec<String>, PortError>;
    /// Forgets dead letters for good; returns the ids of those that were dead, in the order they were named.
    async fn discard(&self, ids: &[String]) -> Result<Vec<String>, PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_wrote_and_nothing_else() {
        for cursor in [JobCursor { at: -1, id: String::new() }, JobCursor { at: i64::MAX, id: "01J.3".to_owned() }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for garbage in ["", "~", "x~1", "1", "1~a b", "1~a~b", "1~\u{0}", "99999999999999999999~a"] {
            assert_eq!(garbage.parse::<JobCursor>(), Err(CursorError), "{garbage:?}");
        }
    }

    #[test]
    fn every_state_is_found_by_its_word() {
        for state in JobState::ALL {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("finished".parse::<JobState>().is_err());
    }
}
