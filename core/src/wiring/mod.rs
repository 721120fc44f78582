//! Chooses adapters by the settings' URLs, and refuses what can not work with a sentence that says what to set.

mod distributed;
mod embedded;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use crate::board_reader::BoardReader;
use crate::data_dir::DataDirError;
use crate::domain::{Keeping, RingLimits, TopicName};
use crate::feed_shelf::FeedShelf;
use crate::metrics::Metrics;
use crate::ports::{
    Clock, FeedStore, JobInspector, JobKind, Leases, Ledger, PortError, Queue, Rankings, RateLimits, Replies,
    RequestLog, Roster, SystemClock, Topics, UniqueJobs,
};
use crate::queue::JobSource;
use crate::settings::{Feed, Settings};
use distributed::Distributed;
use embedded::Embedded;
pub use refusal::WiringError;
use refusal::{Chosen, choose};

/// A server's inside: every port with the adapter chosen for it.
#[derive(Clone)]
pub struct Wiring {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// The users.
    pub roster: Arc<dyn Roster>,
    /// What was asked of sources.
    pub request_log: Arc<dyn RequestLog>,
    /// The durable queue.
    pub queue: Arc<dyn Queue>,
    /// Jobs of which one at a time is enough.
    pub unique_jobs: Arc<dyn UniqueJobs>,
    /// A person's view of the queue.
    pub inspector: Arc<dyn JobInspector>,
    /// Who leads.
    pub rankings: Arc<dyn Rankings>,
    /// Who leads, for those who watch.
    pub boards: Arc<BoardReader>,
    /// What viewers see.
    pub topics: Arc<dyn Topics>,
    /// Answers to requests that wait.
    pub replies: Arc<dyn Replies>,
    /// Who may send how much.
    pub rate_limits: Arc<dyn RateLimits>,
    /// Work that one process does for all.
    pub leases: Arc<dyn Leases>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Feeds between fetches.
    pub feed_store: Arc<dyn FeedStore>,
    /// Feeds, for those who watch.
    pub feed_shelf: Arc<FeedShelf>,
    /// The configured feeds, in their order.
    pub feeds: Arc<[Feed]>,
    /// How much is kept of which topic.
    pub keeping: Arc<Keeping>,
    deployment: Deployment,
}

/// What only one of the deployments has.
#[derive(Clone)]
enum Deployment {
    Embedded(Arc<Embedded>),
    Distributed(Arc<Distributed>),
}

impl Wiring {
    /// Opens what the settings name, for these feeds; embedded, rebuilds what is kept in memory. Distributed, waits for Redis and the
    /// database as long as the settings say. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`WiringError`] says what to change.
    pub async fn open(settings: &Settings, feeds: Vec<Feed>) -> Result<Self, WiringError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        match choose(settings)? {
            Chosen::Embedded => embedded::open(settings, feeds.into(), clock).await,
            Chosen::Distributed { database, redis } => {
                distributed::open(settings, feeds.into(), database, redis, clock).await
            }
        }
    }

    /// Whether other processes may share what this one uses.
    #[must_use]
    pub const fn is_distributed(&self) -> bool {
        matches!(self.deployment, Deployment::Distributed(_))
    }

    /// The jobs of a kind, for a new worker. An earlier worker of this process has ended: what it had in hand is
    /// handed out again.
    ///
    /// # Errors
    /// When the queue can not be reached.
    pub async fn jobs(&self, kind: JobKind) -> Result<JobSource, PortError> {
        match &self.deployment {
            Deployment::Embedded(embedded) => embedded.queue.jobs(kind).await,
            Deployment::Distributed(distributed) => Ok(distributed.queue.jobs(kind)),
        }
    }

    /// Notes where this server answers, for command-line tools. Nothing to note when the tools know the URLs.
    ///
    /// # Errors
    /// When the data directory can not be written.
    pub fn announce(&self, url: &str) -> Result<(), DataDirError> {
        match &self.deployment {
            Deployment::Embedded(embedded) => embedded.data_dir.announce(url),
            Deployment::Distributed(_) => Ok(()),
        }
    }

    /// Closes files and connections in order. Call when nothing uses the ports any more.
    pub async fn close(&self) {
        match &self.deployment {
            Deployment::Embedded(embedded) => {
                embedded.queue.close().await;
                embedded.feeds.close().await;
                embedded.ledger.close().await;
            }
            Deployment::Distributed(distributed) => distributed.ledger.close().await,
        }
    }
}

/// A feed is kept as its own table says, all else as the settings say of topics.
fn keeping(settings: &Settings, feeds: &[Feed]) -> Arc<Keeping> {
    let limits =
        |messages, age: Duration| RingLimits { messages, age_us: i64::try_from(age.as_micros()).unwrap_or(i64::MAX) };
    let most = Keeping::alike(limits(settings.topic_messages, settings.topic_age.0));
    let of_feed = |keeping: Keeping, feed: &Feed| {
        keeping.with(TopicName::of_feed(&feed.name), limits(feed.keep_messages, feed.keep))
    };
    Arc::new(feeds.iter().fold(most, of_feed))
}
