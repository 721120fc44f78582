//! Keeps a worker running. An apalis worker ends at the first error of its queue; this starts the next one,
//! under a new name, until the server stops.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::WorkerBuilderExt;
use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::event::Event;
use apalis_core::worker::ext::event_listener::EventListenerExt;
use scorewire_core::ports::JobKind;
use scorewire_core::queue::JobSource;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::group_commit::GroupCommit;
use crate::health::Health;
use crate::score_update::{self, RetryPolicy, ScoreUpdates};
use crate::{maintenance, reconcile};

/// Jobs in hand at once: more than are fetched at a time, so that none waits in a buffer.
const CONCURRENCY: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Together with the back-off of the queue's connection far shorter than the silence after which other workers take a
/// worker's jobs for orphans: they were away from the queue as it was, and are back as soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A worker that ran for so long did not keep failing.
const RAN: Duration = Duration::from_secs(5);
/// Time for jobs in hand to be decided and acknowledged when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The workers of this process.
pub struct Workers {
    tasks: JoinSet<()>,
    health: Arc<Health>,
}

impl Workers {
    /// Starts them; they end when `shutdown` is cancelled.
    #[must_use]
    pub fn start(wiring: &Wiring, settings: &Settings, shutdown: &CancellationToken) -> Self {
        let health = Arc::new(Health::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(run_scores(wiring.clone(), settings.clone(), Arc::clone(&health), shutdown.clone()));
        tasks.spawn(maintenance::run(wiring.clone(), settings.clone(), shutdown.clone()));
        tasks.spawn(reconcile::run(wiring.clone(), settings.clone(), shutdown.clone()));
        Self { tasks, health }
    }

    /// Whether they get anywhere.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Waits until all have ended, after shutdown.
    pub async fn stopped(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs one apalis worker until it fails or the server stops. A macro, since the bounds that would make a function
/// generic over backends name the whole stack of apalis' layers.
macro_rules! run_worker {
    ($backend:expr, $handler:expr, $health:expr, $shutdown:expr) => {{
        let health = Arc::clone($health);
        // apalis refuses a name it has seen alive: every life gets its own.
        let context = WorkerContext::new(&format!("{}-{}", JobKind::Scores.name(), Ulid::generate()));
        let worker = WorkerBuilder::new(context.clone())
            .backend($backend)
            .data(Arc::clone($handler))
            .concurrency(CONCURRENCY)
            .on_event(move |_, event| {
                health.beat();
                if let Event::Error(error) = event {
                    tracing::debug!(%error, "a job failed");
                }
            })
            .build(score_update::handle);
        until_stopped(worker.run(), context, $shutdown).await.map_err(|e| e.to_string())
    }};
}

async fn until_stopped(
    run: impl Future<Output = Result<(), WorkerError>>,
    context: WorkerContext,
    shutdown: &CancellationToken,
) -> Result<(), WorkerError> {
    let mut run = pin!(run);
    tokio::select! {
        ended = &mut run => return ended,
        () = shutdown.cancelled() => {}
    }
    // Refused before the worker's first poll, in which case there is nothing to stop.
    let _ = context.stop();
    match tokio::time::timeout(DRAIN, run).await {
        Ok(ended) => ended,
        // What is left in hand stays in the queue and is taken back at the next start.
        Err(_) => Ok(()),
    }
}

async fn run_scores(wiring: Wiring, settings: Settings, health: Arc<Health>, shutdown: CancellationToken) {
    let handler = Arc::new(ScoreUpdates {
        queue: Arc::clone(&wiring.queue),
        replies: Arc::clone(&wiring.replies),
        commits: GroupCommit::start(&wiring, Arc::clone(&health), settings.commit_updates, shutdown.clone()),
        policy: RetryPolicy::from_settings(&settings),
        metrics: Arc::clone(&wiring.metrics),
    });
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_cancelled() {
        let started = tokio::time::Instant::now();
        let ended = match wiring.jobs(JobKind::Scores).await {
            Ok(JobSource::Sqlite(backend)) => run_worker!(*backend, &handler, &health, &shutdown),
            Ok(JobSource::Streams(backend)) => run_worker!(*backend, &handler, &health, &shutdown),
            Err(error) => Err(error.to_string()),
        };
        let Err(error) = ended else { continue };
        health.blocked(error.clone());
        tracing::error!(error, "the worker ended and is started again");
        // One that ran for a while met something new: it need not wait as long as one that keeps failing.
        pause = if started.elapsed() > RAN { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => health.unblocked(),
            () = shutdown.cancelled() => {}
        }
    }
}
