//! Watches how full the queue is: for the limit at which updates are refused, and for the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::metrics::Metrics;
use crate::ports::{JobKind, PortError, Queue, QueueStats};

const BEAT: Duration = Duration::from_millis(500);

/// Samples the queue for ever; `observe` hears every sample. While the queue can not be reached the last one stands.
pub async fn watch(queue: Arc<dyn Queue>, metrics: Arc<Metrics>, observe: impl Fn(QueueStats) + Send) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut troubled = false;
    loop {
        beat.tick().await;
        match sample(queue.as_ref(), &metrics).await {
            Ok(stats) => {
                observe(stats);
                troubled = false;
            }
            // Said once: writes and the readiness check tell the rest.
            Err(error) if !troubled => {
                tracing::warn!(%error, "how full the queue is can not be seen");
                troubled = true;
            }
            Err(_) => {}
        }
    }
}

async fn sample(queue: &dyn Queue, metrics: &Metrics) -> Result<QueueStats, PortError> {
    let stats = queue.stats(JobKind::Scores).await?;
    metrics.queue_depth.set(i64::try_from(stats.depth).unwrap_or(i64::MAX));
    metrics.queue_oldest.set(stats.oldest.as_secs_f64());
    metrics.dead.set(i64::try_from(stats.dead).unwrap_or(i64::MAX));
    let fetches = queue.stats(JobKind::Fetch).await?;
    metrics.feeds.queued.set(i64::try_from(fetches.depth).unwrap_or(i64::MAX));
    metrics.feeds.dead.set(i64::try_from(fetches.dead).unwrap_or(i64::MAX));
    Ok(stats)
}
