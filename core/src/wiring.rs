//! Chooses adapters by the settings' URLs, and refuses what can not work with a sentence that says what to set.

use std::sync::Arc;
use std::time::Duration;

use crate::data_dir::{DataDir, DataDirError};
use crate::domain::{BoardId, RingLimits};
use crate::ledger::SqliteLedger;
use crate::metrics::Metrics;
use crate::ports::{Clock, JobInspector, JobKind, Ledger, PortError, Queue, Rankings, Roster, SystemClock, Topics};
use crate::queue::{JobSource, SqliteQueue};
use crate::rankings::MemoryRankings;
use crate::settings::Settings;
use crate::settings::units::{Role, Secret, Span};
use crate::sqlite::OpenError;
use crate::topics::MemoryTopics;

/// Standings read at once while rankings are rebuilt.
const REBUILD_CHUNK: usize = 10_000;
/// A client may repeat a request this long after the first try and still meet its own key.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// Why a server can not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// An adapter this version does not have.
    #[error(
        "{setting} is set to {scheme}, which this version does not support yet: leave {setting} empty for the embedded deployment"
    )]
    Unsupported {
        /// The setting.
        setting: &'static str,
        /// The URL's scheme; the rest may hold a password.
        scheme: String,
    },
    /// Roles in processes of their own need a queue they share.
    #[error("--role api and --role worker need a queue that processes share: set REDIS_URL, or run --role all")]
    SplitRole,
    /// Keys must outlive every client's retries.
    #[error("the retention of {0} is too short: keys deduplicate for it, so set 24 hours or more")]
    ShortRetention(Span),
    /// The data directory can not be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A database file can not be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger can not be read.
    #[error("could not rebuild the rankings: {0}")]
    Rebuild(#[from] PortError),
}

/// A server's inside: every port with the adapter chosen for it.
#[derive(Clone)]
pub struct Wiring {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// The users.
    pub roster: Arc<dyn Roster>,
    /// The durable queue.
    pub queue: Arc<dyn Queue>,
    /// A person's view of the queue.
    pub inspector: Arc<dyn JobInspector>,
    /// Who leads.
    pub rankings: Arc<dyn Rankings>,
    /// What viewers see.
    pub topics: Arc<dyn Topics>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    embedded: Arc<Embedded>,
}

/// What only the embedded deployment has.
struct Embedded {
    ledger: Arc<SqliteLedger>,
    queue: Arc<SqliteQueue>,
    data_dir: DataDir,
}

impl Wiring {
    /// Opens what the settings name, and rebuilds what is kept in memory.
    ///
    /// # Errors
    /// [`WiringError`] says what to change.
    pub async fn open(settings: &Settings) -> Result<Self, WiringError> {
        refuse_unsupported(settings)?;
        let data_dir = DataDir::lock(&settings.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = Arc::new(SqliteLedger::open(&data_dir.file("ledger.db"), Arc::clone(&clock)).await?);
        let queue = Arc::new(SqliteQueue::open(&data_dir.file("queue.db"), Arc::clone(&clock)).await?);
        let limits = RingLimits {
            messages: settings.topic_messages,
            age_us: i64::try_from(settings.topic_age.0.as_micros()).unwrap_or(i64::MAX),
        };
        let topics = Arc::new(MemoryTopics::new(limits, Arc::clone(&clock)));
        let rankings = Arc::new(MemoryRankings::new(Arc::clone(&topics), settings.top_rows));
        rebuild(ledger.as_ref(), rankings.as_ref(), &BoardId::main()).await?;
        Ok(Self {
            ledger: Arc::clone(&ledger) as _,
            roster: Arc::clone(&ledger) as _,
            queue: Arc::clone(&queue) as _,
            inspector: Arc::clone(&queue) as _,
            rankings,
            topics,
            clock,
            metrics: Arc::default(),
            embedded: Arc::new(Embedded { ledger, queue, data_dir }),
        })
    }

    /// The jobs of a kind, for a new worker.
    ///
    /// # Errors
    /// When the queue can not be reached.
    pub async fn jobs(&self, kind: JobKind) -> Result<JobSource, PortError> {
        self.embedded.queue.jobs(kind).await
    }

    /// Notes where this server answers, for command-line tools.
    ///
    /// # Errors
    /// When the data directory can not be written.
    pub fn announce(&self, url: &str) -> Result<(), DataDirError> {
        self.embedded.data_dir.announce(url)
    }

    /// Closes files and connections in order. Call when nothing uses the ports any more.
    pub async fn close(&self) {
        self.embedded.queue.close().await;
        self.embedded.ledger.close().await;
    }
}

fn refuse_unsupported(settings: &Settings) -> Result<(), WiringError> {
    if settings.role != Role::All && settings.redis_url.0.is_none() {
        return Err(WiringError::SplitRole);
    }
    if settings.retention.0 < SHORTEST_RETENTION {
        return Err(WiringError::ShortRetention(settings.retention));
    }
    for (setting, url) in [("DATABASE_URL", &settings.database_url), ("REDIS_URL", &settings.redis_url)] {
        if let Some(Secret(url)) = &url.0 {
            let scheme = url.split_once(':').map_or("something that is no URL", |(scheme, _)| scheme);
            return Err(WiringError::Unsupported { setting, scheme: scheme.to_owned() });
        }
    }
    Ok(())
}

/// Fills a board from the ledger, in chunks.
async fn rebuild(ledger: &dyn Ledger, rankings: &dyn Rankings, board: &BoardId) -> Result<(), PortError> {
    let mut after = None;
    loop {
        let standings = ledger.standings(board, after, REBUILD_CHUNK).await?;
        let Some(last) = standings.last() else { return Ok(()) };
        after = Some(last.standing.user);
        rankings.restore(board, &standings).await?;
    }
}
