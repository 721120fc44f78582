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
use scorewire_core::ports::{JobKind, PortError};
use scorewire_core::queue::JobSource;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::fetch::{self, Fetches};
use crate::group_commit::GroupCommit;
use crate::health::Health;
use crate::score_update::{self, RetryPolicy, ScoreUpdates};
use crate::{maintenance, reconcile, schedule};

/// Score jobs in hand at once: more than are fetched at a time, so that none waits in a buffer.
const CONCURRENCY: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Together with the back-off of the queue's connection far shorter than the silence after which other workers take a
/// worker's jobs for orphans: they were away from the queue as it was, and are back as soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A worker that ran for so long did not keep failing.
const RAN: Duration = Duration::from_secs(5);
/// Silence of a worker after which it is given up and another is started: longer than all its calls to the queue may
/// take one after the other. It should not come to that; but a worker that stands still for whatever reason would keep
/// everybody waiting until a person starts the process again.
const STANDS_STILL: Duration = Duration::from_secs(20);
/// Time for jobs in hand to be decided and acknowledged when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The workers of this process.
pub struct Workers {
    tasks: JoinSet<()>,
    health: Arc<Health>,
}

impl Workers {
    /// Starts them; they end when `shutdown` is cancelled. Without feeds there is nothing to fetch.
    ///
    /// # Errors
    /// When feeds could not be fetched at all.
    pub fn start(wiring: &Wiring, settings: &Settings, shutdown: &CancellationToken) -> Result<Self, PortError> {
        let mut tasks = JoinSet::new();
        let mut health = Arc::new(Health::default());
        if !wiring.feeds.is_empty() {
            let fetches = Arc::new(Fetches::new(wiring, settings)?);
            let manner = Manner { kind: JobKind::Fetch, concurrency: settings.fetch_concurrency.max(1) };
            tasks.spawn(run_fetches(manner, wiring.clone(), fetches, Arc::clone(&health), shutdown.clone()));
            tasks.spawn(schedule::run(wiring.clone(), shutdown.clone()));
            health = Arc::new(Health::beside(health));
        }
        tasks.spawn(run_scores(wiring.clone(), settings.clone(), Arc::clone(&health), shutdown.clone()));
        tasks.spawn(maintenance::run(wiring.clone(), settings.clone(), shutdown.clone()));
        tasks.spawn(reconcile::run(wiring.clone(), settings.clone(), shutdown.clone()));
        Ok(Self { tasks, health })
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

/// How the worker of a kind is run.
#[derive(Clone, Copy)]
struct Manner {
    kind: JobKind,
    concurrency: usize,
}

/// Runs one apalis worker until it fails or the server stops. A macro, since the bounds that would make a function
/// generic over backends name the whole stack of apalis' layers.
macro_rules! run_worker {
    ($manner:expr, $handle:expr, $backend:expr, $handler:expr, $health:expr, $shutdown:expr) => {{
        let health = Arc::clone($health);
        // apalis refuses a name it has seen alive: every life gets its own.
        let context = WorkerContext::new(&format!("{}-{}", $manner.kind.name(), Ulid::generate()));
        let worker = WorkerBuilder::new(context.clone())
            .backend($backend)
            .data(Arc::clone($handler))
            .concurrency($manner.concurrency)
            .on_event(move |_, event| {
                health.beat();
                if let Event::Error(error) = event {
                    tracing::debug!(%error, "a job failed");
                }
            })
            .build($handle);
        // Until its first sign of life, its start counts as one.
        $health.beat();
        until_stopped(worker.run(), context, $health, $shutdown).await
    }};
}

/// Runs workers of a kind, one after the other, until the server stops.
macro_rules! keep_running {
    ($manner:expr, $handle:expr, $handler:expr, $wiring:expr, $health:expr, $shutdown:expr) => {{
        let mut pauses = Pauses::default();
        while !$shutdown.is_cancelled() {
            let started = Instant::now();
            let ended = match $wiring.jobs($manner.kind).await {
                Ok(JobSource::Sqlite(backend)) => {
                    run_worker!($manner, $handle, *backend, $handler, $health, $shutdown)
                }
                Ok(JobSource::Streams(backend)) => {
                    run_worker!($manner, $handle, *backend, $handler, $health, $shutdown)
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = ended {
                pauses.wait($manner.kind, error, started, $health, $shutdown).await;
            }
        }
    }};
}

/// The waits between the lives of a worker.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    async fn wait(
        &mut self,
        kind: JobKind,
        error: String,
        started: Instant,
        health: &Health,
        shutdown: &CancellationToken,
    ) {
        health.blocked(error.clone());
        tracing::error!(kind = kind.name(), error, "the worker ended and is started again");
        // One that ran for a while met something new: it need not wait as long as one that keeps failing.
        self.0 = if started.elapsed() > RAN { FIRST_PAUSE } else { (self.0 * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(self.0) => health.unblocked(),
            () = shutdown.cancelled() => {}
        }
    }
}

async fn until_stopped(
    run: impl Future<Output = Result<(), WorkerError>>,
    context: WorkerContext,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), String> {
    let mut run = pin!(run);
    tokio::select! {
        ended = &mut run => return ended.map_err(|error| error.to_string()),
        () = shutdown.cancelled() => {}
        // Dropped as it stands: what it had in hand is handed out again, and what it did already changes nothing.
        () = health.silent(STANDS_STILL) => return Err("it stood still".to_owned()),
    }
    // Refused before the worker's first poll, in which case there is nothing to stop.
    let _ = context.stop();
    match tokio::time::timeout(DRAIN, run).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
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
    let manner = Manner { kind: JobKind::Scores, concurrency: CONCURRENCY };
    keep_running!(manner, score_update::handle, &handler, wiring, &health, &shutdown);
}

async fn run_fetches(
    manner: Manner,
    wiring: Wiring,
    handler: Arc<Fetches>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) {
    let (log, ended) = (handler.log(), CancellationToken::new());
    let logging = tokio::spawn({
        let ended = ended.clone();
        async move { log.run(ended).await }
    });
    keep_running!(manner, fetch::handle, &handler, wiring, &health, &shutdown);
    // The last fetches are logged, too.
    ended.cancel();
    if let Err(error) = logging.await {
        tracing::error!(%error, "the log of requests to sources ended by a panic");
    }
}
