//! Group commit: jobs that are worked on at the same time share one ledger transaction.
//!
//! While one transaction is under way the next jobs gather; nobody lingers for them. A batch the ledger refuses
//! is cut in half until the update to blame stands alone; all others apply. A ledger that is away is waited
//! for: that is no fault of the job's and uses up none of its attempts.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use scorewire_core::domain::{BoardId, NamedStanding, ScoreUpdate, TopicName, UpdateId};
use scorewire_core::metrics::Metrics;
use scorewire_core::ports::{AppliedBatch, FailureKind, Ledger, PortError, Rankings, Replies, Topics};
use scorewire_core::wiring::Wiring;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Health;

/// Jobs that may gather while a transaction is under way.
const GATHERED: usize = 1_024;
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// What a commit may still take when the server stops. One that is given up on half-way is delivered again, and the ledger
/// knows whether it took place.
const LAST_TRY: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Updates the ledger refuses, with its reason.
pub type Refused = HashMap<UpdateId, String>;

struct Job {
    updates: Vec<ScoreUpdate>,
    reply: oneshot::Sender<Decided>,
}

/// A job's updates, decided.
#[derive(Debug)]
pub struct Decided {
    /// All of them, as they came.
    pub updates: Vec<ScoreUpdate>,
    /// Those the ledger refuses.
    pub refused: Refused,
}

/// Hands jobs to the committing task.
#[derive(Clone)]
pub struct GroupCommit {
    jobs: mpsc::Sender<Job>,
}

/// The server stops and the job was not decided; it stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided;

impl GroupCommit {
    /// Starts the committing task: at most `limit` updates a transaction, more only when one job has more.
    #[must_use]
    pub fn start(wiring: &Wiring, health: Arc<Health>, limit: usize, shutdown: CancellationToken) -> Self {
        let (jobs, waiting) = mpsc::channel(GATHERED);
        let committer = Committer {
            ledger: Arc::clone(&wiring.ledger),
            rankings: Arc::clone(&wiring.rankings),
            topics: Arc::clone(&wiring.topics),
            replies: Arc::clone(&wiring.replies),
            metrics: Arc::clone(&wiring.metrics),
            health,
            shutdown,
        };
        tokio::spawn(committer.run(waiting, limit));
        Self { jobs }
    }

    /// Applies a job's updates and publishes the result; gives them back and says which the ledger refuses.
    ///
    /// # Errors
    /// [`Undecided`] when the server stops while the ledger is away.
    pub async fn commit(&self, updates: Vec<ScoreUpdate>) -> Result<Decided, Undecided> {
        let (reply, decided) = oneshot::channel();
        self.jobs.send(Job { updates, reply }).await.map_err(|_| Undecided)?;
        decided.await.map_err(|_| Undecided)
    }
}

struct Committer {
    ledger: Arc<dyn Ledger>,
    rankings: Arc<dyn Rankings>,
    topics: Arc<dyn Topics>,
    replies: Arc<dyn Replies>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
}

impl Committer {
    async fn run(self, mut waiting: mpsc::Receiver<Job>, limit: usize) {
        while let Some(first) = waiting.recv().await {
            let mut updates = Vec::new();
            let mut replies = Vec::new();
            let mut gather = |mut job: Job| {
                replies.push((job.reply, job.updates.len()));
                updates.append(&mut job.updates);
                updates.len()
            };
            let mut gathered = gather(first);
            while gathered < limit {
                let Ok(job) = waiting.try_recv() else { break };
                gathered = gather(job);
            }
            // On `Undecided` the replies are dropped, which tells every job.
            let Ok(mut refused) = self.commit(&updates).await else { return };
            let mut decided = updates.into_iter();
            for (reply, count) in replies {
                let updates: Vec<_> = decided.by_ref().take(count).collect();
                let refused = updates.iter().filter_map(|update| refused.remove_entry(&update.id)).collect();
                // A job whose handler is gone is delivered again; the ledger knows its updates.
                let _ = reply.send(Decided { updates, refused });
            }
        }
    }

    async fn commit(&self, updates: &[ScoreUpdate]) -> Result<Refused, Undecided> {
        let mut refused = Refused::new();
        let mut open = vec![updates];
        while let Some(batch) = open.pop() {
            match self.apply(batch).await? {
                Ok(applied) => self.applied(batch, &applied).await?,
                Err(error) => match batch {
                    [update] => {
                        tracing::warn!(update = %update.id, request = %update.request, %error, "the ledger refused an update");
                        refused.insert(update.id.clone(), error);
                    }
                    _ => {
                        let (head, tail) = batch.split_at(batch.len() / 2);
                        open.push(tail);
                        open.push(head);
                    }
                },
            }
        }
        Ok(refused)
    }

    /// The ledger's answer; `Err` inside is a refusal in words.
    async fn apply(&self, batch: &[ScoreUpdate]) -> Result<Result<AppliedBatch, String>, Undecided> {
        self.when_available(|| async {
            // A panic is a fault of the batch like a refusal: bisecting finds the update that causes it.
            match AssertUnwindSafe(self.ledger.apply(batch)).catch_unwind().await {
                Ok(Ok(applied)) => Ok(Ok(applied)),
                Ok(Err(error)) if error.kind == FailureKind::Rejected => Ok(Err(error.to_string())),
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(Err("applying it panicked".to_owned())),
            }
        })
        .await
    }

    async fn applied(&self, batch: &[ScoreUpdate], applied: &AppliedBatch) -> Result<(), Undecided> {
        self.metrics.applied.inc_by(applied.applied);
        self.metrics.rejected.inc_by(applied.rejected);
        self.metrics.duplicates.inc_by(applied.duplicates);
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 updates")]
        self.metrics.commit_size.observe(batch.len() as f64);
        for (board, standings) in by_board(&applied.standings) {
            self.when_available(|| self.rankings.publish(board, &standings)).await?;
        }
        // After the publication: who is told its score finds the same on the board.
        let waiting: Vec<_> = batch.iter().filter_map(|update| update.reply_to.clone()).collect();
        self.replies.answer(&waiting);
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.trace(batch).await;
        }
        Ok(())
    }

    /// Says where each update was published, so that its request can be followed to the viewers that were sent
    /// messages up to that place.
    async fn trace(&self, batch: &[ScoreUpdate]) {
        for update in batch {
            let topic = TopicName::of_board(&update.board);
            let place = self.topics.position(&topic).await.map(|place| place.to_string()).unwrap_or_default();
            tracing::debug!(update = %update.id, request = %update.request, %topic, place, "decided and published");
        }
    }

    /// Repeats an operation until what it needs is there.
    async fn when_available<T, F>(&self, operation: impl Fn() -> F) -> Result<T, Undecided>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let mut wait = FIRST_WAIT;
        // What was begun when the server stops may end, but not wait for somebody else's lock.
        let over = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        let mut over = std::pin::pin!(over);
        loop {
            let tried = tokio::select! {
                tried = operation() => tried,
                () = &mut over => return Err(Undecided),
            };
            match tried {
                Ok(value) => {
                    if wait > FIRST_WAIT {
                        tracing::info!("the worker goes on");
                        self.health.unblocked();
                    }
                    return Ok(value);
                }
                Err(error) => {
                    tracing::warn!(%error, "the worker waits");
                    self.metrics.waits.inc();
                    self.health.blocked(error.to_string());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = self.shutdown.cancelled() => return Err(Undecided),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

fn by_board(standings: &[NamedStanding]) -> HashMap<&BoardId, Vec<NamedStanding>> {
    let mut boards: HashMap<&BoardId, Vec<NamedStanding>> = HashMap::new();
    for named in standings {
        boards.entry(&named.standing.board).or_default().push(named.clone());
    }
    boards
}
