//! Natural batching: while one durable write is in flight, later updates gather; when it returns, all of them
//! go with the next. An idle server adds no delay, a busy one pays for one disk flush per crowd.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::ports::{Acceptance, NewUpdate, PortError, Queue};

/// Requests that may wait for a write before senders themselves have to wait.
const WAITING: usize = 4_096;

/// Why an update was not accepted. Nothing of it was queued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The queue holds as many jobs as it may.
    #[error("the queue holds {depth} unfinished jobs, its limit is {limit}")]
    QueueFull {
        /// Unfinished jobs.
        depth: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// The queue can not be reached, or can not write.
    #[error(transparent)]
    Failed(#[from] Arc<PortError>),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

struct Request {
    update: NewUpdate,
    reply: oneshot::Sender<Result<Acceptance, NotAccepted>>,
}

/// Accepts updates durably, many at a time.
#[derive(Clone, Debug)]
pub struct Acceptor {
    requests: mpsc::Sender<Request>,
    depth: Arc<AtomicU64>,
    limit: u64,
}

impl Acceptor {
    /// Starts accepting into a queue: at most `batch` updates a job, while it holds fewer than `limit` jobs.
    /// Must be called within a tokio runtime; ends when the last clone is dropped.
    #[must_use]
    pub fn start(queue: Arc<dyn Queue>, batch: usize, limit: u64) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        tokio::spawn(run(queue, waiting, batch));
        Self { requests, depth: Arc::default(), limit }
    }

    /// Accepts one update; when this returns `Ok`, it is durable.
    ///
    /// # Errors
    /// [`NotAccepted`]; nothing was queued then, or (a failing queue) whether it was is unknown.
    pub async fn accept(&self, update: NewUpdate) -> Result<Acceptance, NotAccepted> {
        let depth = self.depth.load(Ordering::Relaxed);
        if depth >= self.limit {
            return Err(NotAccepted::QueueFull { depth, limit: self.limit });
        }
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { update, reply }).await.map_err(|_| NotAccepted::Stopping)?;
        answer.await.unwrap_or(Err(NotAccepted::Stopping))
    }

    /// Tells how many jobs the queue holds now, as sampled by the caller.
    pub fn observe_depth(&self, depth: u64) {
        self.depth.store(depth, Ordering::Relaxed);
    }
}

async fn run(queue: Arc<dyn Queue>, mut waiting: mpsc::Receiver<Request>, batch: usize) {
    let mut requests = Vec::new();
    // Said once per outage: every request that met it says so to its sender.
    let mut away = false;
    while waiting.recv_many(&mut requests, batch).await > 0 {
        let (updates, replies): (Vec<_>, Vec<_>) = requests.drain(..).map(|r| (r.update, r.reply)).unzip();
        // A requester that went away is no failure: its update is accepted all the same.
        match queue.accept(updates).await {
            Ok(acceptances) => {
                if std::mem::take(&mut away) {
                    tracing::info!("updates are accepted again");
                }
                for (reply, acceptance) in replies.into_iter().zip(acceptances) {
                    let _ = reply.send(Ok(acceptance));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "updates can not be accepted");
                }
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(NotAccepted::Failed(Arc::clone(&error))));
                }
            }
        }
    }
}
