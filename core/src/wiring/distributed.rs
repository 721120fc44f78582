//! Many processes that share PostgreSQL and Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Deployment, Wiring, WiringError, keeping};
use crate::board_reader::BoardReader;
use crate::feed_shelf::FeedShelf;
use crate::feeds::RedisFeeds;
use crate::leases::RedisLeases;
use crate::ledger::{PostgresLedger, PostgresOptions, SchemaError};
use crate::metrics::Metrics;
use crate::ports::{Clock, FailureKind, PortError, Rankings, Topics};
use crate::queue::RedisQueue;
use crate::queue::redis_streams::backend::StreamsConfig;
use crate::rankings::RedisRankings;
use crate::rate_limits::RedisRateLimits;
use crate::redis::RedisHandle;
use crate::replies::RedisReplies;
use crate::settings::units::Role;
use crate::settings::{Feed, Settings};
use crate::topics::RedisTopics;

/// Between two looks for a server that is not there yet.
const PAUSE: Duration = Duration::from_millis(500);
/// Heartbeats within the silence after which a worker's jobs are orphans: it may miss a few.
const HEARTBEATS: u32 = 5;

/// What only this deployment has.
pub(super) struct Distributed {
    pub(super) ledger: Arc<PostgresLedger>,
    pub(super) queue: Arc<RedisQueue>,
}

pub(super) async fn open(
    settings: &Settings,
    feeds: Arc<[Feed]>,
    database: &str,
    redis: &str,
    clock: Arc<dyn Clock>,
) -> Result<Wiring, WiringError> {
    let deadline = Instant::now() + settings.start_timeout.0;
    let options = PostgresOptions {
        max_connections: settings.database_connections,
        acquire_timeout: settings.database_acquire_timeout.0,
        statement_timeout: settings.database_statement_timeout.0,
    };
    let ledger = Arc::new(PostgresLedger::connect(database, options, Arc::clone(&clock))?);
    let handle = there(deadline, is_away, || RedisHandle::connect(redis, &settings.redis_prefix)).await?;
    there(deadline, may_come, || ledger.check_schema()).await?;
    let keeping = keeping(settings, &feeds);
    let topics = match settings.role {
        Role::Worker => Arc::new(RedisTopics::unheard(handle.clone(), Arc::clone(&keeping))),
        Role::All | Role::Api => {
            let start = || RedisTopics::start(handle.clone(), Arc::clone(&keeping));
            Arc::new(there(deadline, is_away, start).await?)
        }
    };
    let orphan_after = settings.orphan_after.0;
    let config =
        StreamsConfig { heartbeat: orphan_after / HEARTBEATS, silence: orphan_after, ..StreamsConfig::default() };
    let queue = Arc::new(RedisQueue::new(&handle, config, settings.retention.0, Arc::clone(&clock)));
    let rankings: Arc<dyn Rankings> = Arc::new(RedisRankings::new(Arc::clone(&topics), settings.top_rows));
    let feed_store = Arc::new(RedisFeeds::new(Arc::clone(&topics)));
    let topics: Arc<dyn Topics> = topics;
    let metrics: Arc<Metrics> = Arc::default();
    let replies = there(deadline, is_away, || {
        RedisReplies::start(handle.clone(), settings.max_connections, metrics.waiting.clone())
    });
    Ok(Wiring {
        ledger: Arc::clone(&ledger) as _,
        roster: Arc::clone(&ledger) as _,
        request_log: Arc::clone(&ledger) as _,
        queue: Arc::clone(&queue) as _,
        unique_jobs: Arc::clone(&queue) as _,
        inspector: Arc::clone(&queue) as _,
        boards: Arc::new(BoardReader::shared(Arc::clone(&rankings), topics.as_ref())),
        rankings,
        topics,
        replies: Arc::new(replies.await?),
        rate_limits: Arc::new(RedisRateLimits::new(handle.clone(), settings.rate_limit_unavailable)),
        leases: Arc::new(RedisLeases::new(handle)),
        clock,
        metrics,
        feed_shelf: Arc::new(FeedShelf::new(Arc::clone(&feed_store) as _)),
        feed_store,
        feeds,
        keeping,
        deployment: Deployment::Distributed(Arc::new(Distributed { ledger, queue })),
    })
}

fn is_away(error: &PortError) -> bool {
    error.kind == FailureKind::Unavailable
}

/// A fleet is started all at once: the database may be about to come, and its migrations about to be run.
const fn may_come(error: &SchemaError) -> bool {
    matches!(error, SchemaError::Database(_) | SchemaError::Missing { .. })
}

/// Tries until the deadline while what is missing may still come.
async fn there<T, E, F>(deadline: Instant, may_come: impl Fn(&E) -> bool, attempt: impl Fn() -> F) -> Result<T, E>
where
    E: fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut told = false;
    loop {
        match attempt().await {
            Err(error) if may_come(&error) && Instant::now() + PAUSE < deadline => {
                if !told {
                    tracing::warn!(%error, "the start waits");
                    told = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}
