//! The job `fetch`: ask a feed's source once, publish what is new, and note how it went.
//!
//! A source that fails is no failed job: the failure is noted, counted and logged, and the schedule asks again. Only
//! where the next tick is far enough, a fetch that may succeed soon is tried again within its own.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::attempt::Attempt;
use apalis_core::task::data::Data;
use apalis_core::task::task_id::TaskId;
use futures_util::FutureExt;
use scorewire_core::domain::{Blame, BreakerPolicy, FeedName, FetchFailure, FetchFault, JobId, Micros};
use scorewire_core::feed_metrics::Skipped;
use scorewire_core::feed_reader::{FeedReader, Fetched, News};
use scorewire_core::ports::{DeadLetter, FeedNote, JobKind, NotedFailure, PortError};
use scorewire_core::queue::{FetchPayload, PayloadError, RawPayload};
use scorewire_core::settings::{Feed, Settings};
use scorewire_core::wiring::Wiring;

use crate::request_logger::RequestLogger;
use crate::score_update::{NEWER_WAIT, RetryPolicy};

/// The wait for a fetch of the same feed that another process has not ended, and for Redis or SQL that are away.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How long a fetch that somebody asked for waits for its record in the log.
const LOGGED: Duration = Duration::from_millis(300);
/// A claim outlives the longest fetch by this much.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// The shortest and the longest silence after which a process that fetches a feed is taken for dead.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);
const LONGEST_LEASE: Duration = Duration::from_secs(5);

/// What the handler of a fetch job works with.
pub struct Fetches {
    wiring: Wiring,
    settings: Settings,
    reader: FeedReader,
    policy: RetryPolicy,
    log: Arc<RequestLogger>,
    /// Feeds that this process fetches now.
    in_hand: Mutex<HashSet<FeedName>>,
}

/// A fetch job in hand.
struct Task<'a> {
    feed: &'a Feed,
    job: &'a JobId,
    attempt: u32,
    not_after: Option<Micros>,
}

/// What becomes of a job.
enum Ended {
    /// It is over, however it went.
    Done,
    /// It is tried again after this time.
    Again(Duration, BoxDynError),
}

impl Fetches {
    /// Everything a fetch needs.
    ///
    /// # Errors
    /// As [`FeedReader::from_settings`].
    pub fn new(wiring: &Wiring, settings: &Settings) -> Result<Self, PortError> {
        Ok(Self {
            reader: FeedReader::from_settings(settings)?,
            policy: RetryPolicy { max_attempts: settings.fetch_attempts, ..RetryPolicy::from_settings(settings) },
            log: Arc::new(RequestLogger::new(Arc::clone(&wiring.request_log), Arc::clone(&wiring.metrics))),
            wiring: wiring.clone(),
            settings: settings.clone(),
            in_hand: Mutex::default(),
        })
    }

    /// Where its requests are logged.
    #[must_use]
    pub fn log(&self) -> Arc<RequestLogger> {
        Arc::clone(&self.log)
    }

    async fn handle(&self, job: &JobId, attempt: u32, bytes: &[u8]) -> Result<(), BoxDynError> {
        let payload = match FetchPayload::decode(bytes) {
            Ok(payload) => payload,
            Err(error @ PayloadError::Newer(_)) => return self.again(job, NEWER_WAIT, error.into()).await,
            Err(error) => return Ok(self.bury(job, attempt, bytes, error.to_string()).await?),
        };
        let name = &payload.feed;
        let ended = match self.wiring.feeds.iter().find(|feed| feed.name == *name) {
            Some(feed) => {
                let task = Task { feed, job, attempt, not_after: payload.not_after };
                // A panic would end the apalis worker and every job it has in hand.
                let done = AssertUnwindSafe(self.take(&task)).catch_unwind().await;
                match done {
                    Ok(Ok(ended)) => ended,
                    // The queue's own or the store's trouble: it costs no attempt, and the next tick is as good.
                    Ok(Err(error)) => Ended::Again(BUSY_WAIT, error.into()),
                    Err(_) if attempt < self.policy.max_attempts => {
                        Ended::Again(BUSY_WAIT, "the fetch panicked".into())
                    }
                    Err(_) => {
                        self.bury(job, attempt, bytes, "the fetch panicked every time".to_owned()).await?;
                        Ended::Done
                    }
                }
            }
            None => {
                tracing::warn!(feed = %name, "a fetch of a feed that is not configured here: give all processes the same feeds");
                self.wiring.metrics.feeds.skipped(name, Skipped::Unknown);
                Ended::Done
            }
        };
        match ended {
            Ended::Done => Ok(self.wiring.unique_jobs.finished(JobKind::Fetch, name.as_str(), job).await?),
            Ended::Again(wait, error) => self.again(job, wait, error).await,
        }
    }

    async fn again(&self, job: &JobId, wait: Duration, error: BoxDynError) -> Result<(), BoxDynError> {
        self.wiring.queue.delay(JobKind::Fetch, job, wait).await?;
        Err(error)
    }

    async fn bury(&self, job: &JobId, attempts: u32, bytes: &[u8], reason: String) -> Result<(), PortError> {
        tracing::error!(%job, reason, "a fetch is parked as a dead letter");
        let (id, payload) = (job.to_string(), bytes.to_vec());
        let letter = DeadLetter { kind: JobKind::Fetch, id, job: job.clone(), payload, reason, attempts };
        self.wiring.queue.bury(&[letter]).await
    }

    /// Fetches, unless it is too late or somebody is at it.
    async fn take(&self, task: &Task<'_>) -> Result<Ended, PortError> {
        let name = &task.feed.name;
        let skipped = |reason| {
            tracing::debug!(feed = %name, ?reason, "a fetch was skipped");
            self.wiring.metrics.feeds.skipped(name, reason);
            Ok(Ended::Done)
        };
        if task.not_after.is_some_and(|end| self.wiring.clock.now() >= end) {
            return skipped(Skipped::Late);
        }
        let busy = || match task.not_after {
            Some(_) => skipped(Skipped::Overlap),
            None => Ok(Ended::Again(BUSY_WAIT, "the feed is being fetched".into())),
        };
        let Some(_in_hand) = self.begin(name) else { return busy() };
        // What a person asked for may have lost its claim, or come back from the dead letters without one.
        if task.not_after.is_none() && !self.claim(task).await? {
            return busy();
        }
        let lease = format!("fetch:{name}");
        let life = (task.feed.fetch_every / 2).clamp(SHORTEST_LEASE, LONGEST_LEASE);
        if !self.wiring.leases.hold(&lease, life).await? {
            return busy();
        }
        let fetched = self.fetch(task, &lease, life).await;
        // If it can not be told, it runs out.
        let _ = self.wiring.leases.release(&lease).await;
        let Some((ended, record)) = fetched? else { return skipped(Skipped::Resting) };
        if task.not_after.is_none() {
            // Whoever asked for it looks for it in the log as soon as it is done.
            self.log.written(record, LOGGED).await;
        }
        Ok(ended)
    }

    async fn claim(&self, task: &Task<'_>) -> Result<bool, PortError> {
        let longest = task.feed.patience(&self.settings).probe + CLAIM_MARGIN;
        let until = self.wiring.clock.now().plus(longest);
        self.wiring.unique_jobs.hold(JobKind::Fetch, task.feed.name.as_str(), task.job, until).await
    }

    /// Asks the source and stores what came of it, with its number in the log; `None` when the source is left alone.
    async fn fetch(&self, task: &Task<'_>, lease: &str, life: Duration) -> Result<Option<(Ended, u64)>, PortError> {
        let (feed, wiring) = (task.feed, &self.wiring);
        let patience = feed.patience(&self.settings);
        let mut note = wiring.feed_store.load(&feed.name).await?.note;
        if note.breaker.ask(wiring.clock.now(), &patience).is_err() {
            return Ok(None);
        }
        let fetched =
            crate::lease::kept(&*wiring.leases, lease, life, self.reader.fetch(feed, note.known.as_ref())).await;
        let outcome = outcome(&fetched);
        wiring.metrics.feeds.fetched(&feed.name, outcome, fetched.latency);
        let record = self.log.record(feed, task.job, task.attempt, &fetched, outcome);
        let ended = self.conclude(task, note, &fetched, &patience).await?;
        Ok(Some((ended, record)))
    }

    /// Publishes what is new, and notes how it went.
    async fn conclude(
        &self,
        task: &Task<'_>,
        mut note: FeedNote,
        fetched: &Fetched,
        patience: &BreakerPolicy,
    ) -> Result<Ended, PortError> {
        let (feed, wiring) = (task.feed, &self.wiring);
        match &fetched.outcome {
            Ok(news) => {
                if let Some(failure) = note.failure.take() {
                    tracing::info!(feed = %feed.name, failures = failure.in_row, "a feed has recovered");
                }
                note.breaker.succeeded();
                note.checked_at = Some(fetched.at);
                match news {
                    News::Value(value, known) => {
                        note.known = Some(known.clone());
                        wiring.feed_store.publish(&feed.name, value.data(), &note).await?;
                    }
                    News::Unchanged(known, _) => {
                        note.known = Some(known.clone());
                        wiring.feed_store.note(&feed.name, &note).await?;
                    }
                }
                Ok(Ended::Done)
            }
            Err(failure) => {
                match failure.kind.blame() {
                    Blame::Filters => note.breaker.succeeded(),
                    Blame::Source => {
                        note.breaker.failed(wiring.clock.now(), failure.retry_after, rand::random(), patience);
                    }
                }
                note_failure(&mut note, feed, fetched, failure);
                wiring.feed_store.note(&feed.name, &note).await?;
                let resting = note.breaker.clone().ask(wiring.clock.now(), patience).is_err();
                Ok(self.after_failure(task, failure, resting))
            }
        }
    }

    /// Whether the failed fetch is tried again before the next tick.
    fn after_failure(&self, task: &Task<'_>, failure: &FetchFailure, resting: bool) -> Ended {
        let wait = self.policy.wait(task.attempt, rand::random());
        let due = self.wiring.clock.now().plus(wait);
        let in_time = task.not_after.is_none_or(|end| due < end);
        if !resting && may_pass(failure.kind) && task.attempt < self.policy.max_attempts && in_time {
            Ended::Again(wait, failure.to_string().into())
        } else {
            Ended::Done
        }
    }

    fn begin(&self, feed: &FeedName) -> Option<InHand<'_>> {
        self.in_hand().insert(feed.clone()).then(|| InHand { fetches: self, feed: feed.clone() })
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<FeedName>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A feed that this process fetches now.
struct InHand<'a> {
    fetches: &'a Fetches,
    feed: FeedName,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.fetches.in_hand().remove(&self.feed);
    }
}

/// The slug of what came of a fetch.
fn outcome(fetched: &Fetched) -> &'static str {
    match &fetched.outcome {
        Ok(news) => news.slug(),
        Err(failure) => failure.kind.slug(),
    }
}

/// Whether the same request may succeed within seconds.
const fn may_pass(fault: FetchFault) -> bool {
    use FetchFault::{CutOff, Garbage, ServerError, Timeout, TransformBusy, Unreachable};
    matches!(fault, ServerError | Unreachable | Timeout | CutOff | Garbage | TransformBusy)
}

fn note_failure(note: &mut FeedNote, feed: &Feed, fetched: &Fetched, failure: &FetchFailure) {
    let before = note.failure.as_ref();
    let in_row = before.map_or(1, |failure| failure.in_row.saturating_add(1));
    let reason = failure.kind.slug();
    // Said once for each kind of trouble, not with every fetch.
    if before.is_none_or(|before| before.reason != reason) {
        tracing::warn!(feed = %feed.name, %failure, "a feed could not be fetched and keeps its last value");
    }
    note.failure =
        Some(NotedFailure { reason: reason.to_owned(), message: failure.message.clone(), at: fetched.at, in_row });
}

/// The apalis handler. `Ok` acknowledges the job; an error has it delivered again when its wait is over.
///
/// # Errors
/// Why the job will be tried again.
pub async fn handle(
    payload: RawPayload,
    id: TaskId,
    attempt: Attempt,
    fetches: Data<Arc<Fetches>>,
) -> Result<(), BoxDynError> {
    let job = JobId::new(id.to_string());
    let attempt = u32::try_from(attempt.current()).unwrap_or(u32::MAX);
    fetches.handle(&job, attempt, &payload.0).await
}
