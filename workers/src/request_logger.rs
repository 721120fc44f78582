//! Writes what was asked of sources into the log, beside the fetches: while the log is away prices go on, and what it
//! missed is written when it is back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scorewire_core::domain::JobId;
use scorewire_core::feed_reader::Fetched;
use scorewire_core::metrics::Metrics;
use scorewire_core::ports::{RequestLog, SourceRequestRecord};
use scorewire_core::settings::Feed;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

/// Records that wait for the log at most; the oldest are given up for newer ones, and counted.
const WAITING: usize = 10_000;
/// Records written at once at most.
const AT_ONCE: usize = 500;
/// Between two tries to write while the log is away.
const PAUSE: Duration = Duration::from_secs(1);
/// Time to write what is left when the server stops.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// The log's writer.
pub struct RequestLogger {
    log: Arc<dyn RequestLog>,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Number of the newest record before which none waits.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<SourceRequestRecord>,
    /// Number of the newest record, from 1.
    newest: u64,
}

impl RequestLogger {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(log: Arc<dyn RequestLog>, metrics: Arc<Metrics>) -> Self {
        Self { log, metrics, waiting: Mutex::default(), wake: Notify::new(), settled: watch::Sender::default() }
    }

    /// Has a request written soon; returns its number.
    pub fn record(&self, feed: &Feed, job: &JobId, attempt: u32, fetched: &Fetched, outcome: &'static str) -> u64 {
        let record = SourceRequestRecord {
            id: Ulid::generate().to_string(),
            feed: feed.name.clone(),
            url: feed.url.to_string(),
            at: fetched.at,
            status: fetched.status,
            latency: fetched.latency,
            bytes: fetched.bytes,
            outcome: outcome.to_owned(),
            detail: fetched.outcome.as_ref().err().map(|failure| failure.message.clone()),
            job: job.clone(),
            attempt,
        };
        let mut waiting = self.waiting();
        waiting.records.push_back(record);
        waiting.newest += 1;
        self.wake.notify_one();
        waiting.newest
    }

    /// Waits until a record is written or given up, but no longer than this.
    pub async fn written(&self, number: u64, longest: Duration) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as this.
        let _ = timeout(longest, settled.wait_for(|settled| *settled >= number)).await;
    }

    /// Writes until shutdown, and then what is left.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = self.wake.notified() => {}
                () = shutdown.cancelled() => {}
            }
            let mut troubled = false;
            while !shutdown.is_cancelled() && !self.write().await {
                if !troubled {
                    tracing::warn!("requests to sources wait to be logged");
                    troubled = true;
                }
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
        if timeout(LAST_WRITE, self.write()).await != Ok(true) {
            let left = self.waiting().records.len();
            tracing::warn!(left, "requests to sources are missing in the log");
        }
    }

    /// Writes all that wait; `false` when the log is away.
    async fn write(&self) -> bool {
        loop {
            let batch: Vec<_> = {
                let mut waiting = self.waiting();
                let many = waiting.records.len().min(AT_ONCE);
                waiting.records.drain(..many).collect()
            };
            if batch.is_empty() {
                return true;
            }
            if let Err(error) = self.log.record(&batch).await {
                tracing::debug!(%error, "requests to sources could not be logged");
                self.put_back(batch);
                return false;
            }
            let waiting = self.waiting();
            self.settled.send_replace(waiting.newest - waiting.records.len() as u64);
        }
    }

    fn put_back(&self, batch: Vec<SourceRequestRecord>) {
        let mut waiting = self.waiting();
        batch.into_iter().rev().for_each(|record| waiting.records.push_front(record));
        let excess = waiting.records.len().saturating_sub(WAITING);
        waiting.records.drain(..excess);
        self.metrics.feeds.unlogged.inc_by(excess as u64);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
