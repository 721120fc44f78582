//! The job `scores`: apply queued updates exactly once, publish what changed.
//!
//! A job whose updates the ledger refuses is tried again, whole: what applied before is recognised and changes
//! nothing. When its attempts are used up, the refused updates alone are parked as dead letters.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::attempt::Attempt;
use apalis_core::task::data::Data;
use apalis_core::task::task_id::TaskId;
use futures_util::FutureExt;
use scorewire_core::domain::{JobId, ScoreUpdate};
use scorewire_core::metrics::Metrics;
use scorewire_core::ports::{DeadLetter, JobKind, PortError, Queue, Replies};
use scorewire_core::queue::{JobPayload, PayloadError, RawPayload};
use scorewire_core::settings::Settings;

use crate::group_commit::{Decided, GroupCommit, Refused};

/// How long a job waits for a worker that can read it.
pub(crate) const NEWER_WAIT: Duration = Duration::from_secs(30);

/// When a failing job is tried again, and when it is given up on.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Failed tries after which an update is parked.
    pub max_attempts: u32,
    /// The wait after the first failed try.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl RetryPolicy {
    /// The policy the settings ask for.
    #[must_use]
    pub const fn from_settings(settings: &Settings) -> Self {
        Self { max_attempts: settings.max_attempts, base: settings.retry_base.0, max: settings.retry_max.0 }
    }

    /// The wait after the `attempt`-th failed try (from 1), shortened at random by up to half: jobs that failed
    /// together do not come back together. `random` is from 0 to 1.
    pub(crate) fn wait(&self, attempt: u32, random: f64) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        doubled.min(self.max).mul_f64(1.0 - random / 2.0)
    }
}

/// What the handler of a score job works with.
pub struct ScoreUpdates {
    /// The queue it came from.
    pub queue: Arc<dyn Queue>,
    /// Who waits for it.
    pub replies: Arc<dyn Replies>,
    /// Where it is applied.
    pub commits: GroupCommit,
    /// When it is tried again.
    pub policy: RetryPolicy,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The apalis handler. `Ok` acknowledges the job; an error has it delivered again when its wait is over.
///
/// # Errors
/// Why the job will be tried again.
pub async fn handle(
    payload: RawPayload,
    id: TaskId,
    attempt: Attempt,
    updates: Data<Arc<ScoreUpdates>>,
) -> Result<(), BoxDynError> {
    let job = JobId::new(id.to_string());
    let attempt = u32::try_from(attempt.current()).unwrap_or(u32::MAX);
    // A panic would end the apalis worker and every job it has in hand.
    let handled = AssertUnwindSafe(updates.handle(&job, attempt, &payload)).catch_unwind().await;
    handled.unwrap_or_else(|_| Err("the worker panicked".into()))
}

impl ScoreUpdates {
    async fn handle(&self, job: &JobId, attempt: u32, payload: &RawPayload) -> Result<(), BoxDynError> {
        match JobPayload::decode(&payload.0) {
            Ok(payload) => self.apply(job, attempt, payload.updates).await,
            Err(error @ PayloadError::Newer(_)) => {
                self.queue.delay(JobKind::Scores, job, NEWER_WAIT).await?;
                Err(error.into())
            }
            Err(error) => {
                let letter = DeadLetter {
                    kind: JobKind::Scores,
                    id: job.to_string(),
                    job: job.clone(),
                    payload: payload.0.clone(),
                    reason: error.to_string(),
                    attempts: attempt,
                };
                Ok(self.bury(&[letter]).await?)
            }
        }
    }

    async fn apply(&self, job: &JobId, attempt: u32, mut updates: Vec<ScoreUpdate>) -> Result<(), BoxDynError> {
        for update in &mut updates {
            update.attempt = attempt;
        }
        let Ok(Decided { updates, refused }) = self.commits.commit(updates).await else {
            // The server stops. Neither acknowledged nor failed, the job stays in the queue as it is.
            return std::future::pending().await;
        };
        if refused.is_empty() {
            return Ok(());
        }
        if attempt < self.policy.max_attempts {
            let wait = self.policy.wait(attempt, rand::random());
            tracing::warn!(%job, attempt, ?wait, refused = refused.len(), "a job will be tried again");
            self.metrics.retries.inc();
            self.queue.delay(JobKind::Scores, job, wait).await?;
            return Err(refused.into_values().next().unwrap_or_default().into());
        }
        self.bury(&letters(job, attempt, &updates, &refused)).await?;
        let parked = updates.iter().filter(|update| refused.contains_key(&update.id));
        let waiting: Vec<_> = parked.filter_map(|update| update.reply_to.clone()).collect();
        self.replies.answer(&waiting);
        Ok(())
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        for letter in letters {
            tracing::error!(id = letter.id, job = %letter.job, reason = letter.reason, "parked as a dead letter");
        }
        self.queue.bury(letters).await
    }
}

fn letters(job: &JobId, attempts: u32, updates: &[ScoreUpdate], refused: &Refused) -> Vec<DeadLetter> {
    updates
        .iter()
        .filter_map(|update| {
            Some(DeadLetter {
                kind: JobKind::Scores,
                id: update.id.to_string(),
                job: job.clone(),
                // Plain structs of strings and numbers always serialise.
                payload: serde_json::to_vec(update).unwrap_or_else(|e| unreachable!("an update serialises: {e}")),
                reason: refused.get(&update.id)?.clone(),
                attempts,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_only_shortens() {
        let policy = RetryPolicy { max_attempts: 10, base: Duration::from_secs(1), max: Duration::from_secs(60) };
        let seconds = |attempt, random| policy.wait(attempt, random).as_secs_f64();
        assert_eq!([seconds(1, 0.0), seconds(2, 0.0), seconds(4, 0.0)], [1.0, 2.0, 8.0]);
        assert_eq!([seconds(7, 0.0), seconds(99, 0.0)], [60.0, 60.0]);
        assert_eq!(seconds(2, 1.0), 1.0);
    }
}
