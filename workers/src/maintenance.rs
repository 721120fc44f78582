//! Housekeeping: samples how full the queue is, trims finished jobs, forgets updates past their retention.
//! Everything goes in small chunks, so that no score waits behind a large delete.

use std::time::Duration;

use scorewire_core::domain::Micros;
use scorewire_core::ports::{JobKind, PortError, QueueStats};
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_millis(500);
const CHUNK: usize = 100;
/// Keys are kept this much longer than ledger rows, so that a key never outlives neither.
const KEY_MARGIN: Duration = Duration::from_secs(3_600);

/// Runs until shutdown; `observe` hears every sample.
pub async fn run(wiring: Wiring, settings: Settings, observe: impl Fn(QueueStats) + Send, shutdown: CancellationToken) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut troubled = false;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = shutdown.cancelled() => return,
        }
        match keep_house(&wiring, settings.retention.0, &observe, &shutdown).await {
            Ok(()) => troubled = false,
            // Said once: the readiness check and the worker's own waits tell the rest.
            Err(error) if !troubled => {
                tracing::warn!(%error, "housekeeping will be tried again");
                troubled = true;
            }
            Err(_) => {}
        }
    }
}

async fn keep_house(
    wiring: &Wiring,
    retention: Duration,
    observe: &(impl Fn(QueueStats) + Send),
    shutdown: &CancellationToken,
) -> Result<(), PortError> {
    let stats = wiring.queue.stats(JobKind::Scores).await?;
    observe(stats);
    let metrics = &wiring.metrics;
    metrics.queue_depth.set(i64::try_from(stats.depth).unwrap_or(i64::MAX));
    metrics.queue_oldest.set(stats.oldest.as_secs_f64());
    metrics.dead.set(i64::try_from(stats.dead).unwrap_or(i64::MAX));
    let before =
        |age: Duration| Micros(wiring.clock.now().0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    while wiring.queue.trim(before(retention + KEY_MARGIN), CHUNK).await? >= CHUNK as u64 && !shutdown.is_cancelled() {}
    while wiring.ledger.forget_updates(before(retention), CHUNK).await? >= CHUNK as u64 && !shutdown.is_cancelled() {}
    Ok(())
}
