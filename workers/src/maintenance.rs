//! Housekeeping: trims finished jobs, forgets updates and requests to sources past their retention. One process does it for all. Everything
//! goes in small chunks, so that no score waits behind a large delete.

use std::time::Duration;

use scorewire_core::ports::PortError;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_millis(500);
const LEASE: &str = "maintenance";
/// Several beats, so that a slow one keeps the lease.
const LEASE_TIME: Duration = Duration::from_secs(10);
const CHUNK: usize = 100;
/// Keys are kept this much longer than ledger rows, so that a key never outlives neither.
const KEY_MARGIN: Duration = Duration::from_secs(3_600);

/// Runs until shutdown.
pub async fn run(wiring: Wiring, settings: Settings, shutdown: CancellationToken) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut troubled = false;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = shutdown.cancelled() => break,
        }
        // Somebody's lock may hold it up for long, and a server that stops does not wait for it.
        let kept = tokio::select! {
            kept = keep_house(&wiring, &settings) => kept,
            () = shutdown.cancelled() => break,
        };
        match kept {
            Ok(()) => troubled = false,
            // Said once: the readiness check and the worker's own waits tell the rest.
            Err(error) if !troubled => {
                tracing::warn!(%error, "housekeeping will be tried again");
                troubled = true;
            }
            Err(_) => {}
        }
    }
    // The next process need not wait for the lease to run out; if it can not be told, it will.
    let _ = wiring.leases.release(LEASE).await;
}

async fn keep_house(wiring: &Wiring, settings: &Settings) -> Result<(), PortError> {
    if !wiring.leases.hold(LEASE, LEASE_TIME).await? {
        return Ok(());
    }
    let before = |age: Duration| wiring.clock.now().minus(age);
    let retention = settings.retention.0;
    while wiring.queue.trim(before(retention + KEY_MARGIN), CHUNK).await? >= CHUNK as u64 {}
    while wiring.ledger.forget_updates(before(retention), CHUNK).await? >= CHUNK as u64 {}
    let asked_before = before(settings.source_log_retention.0);
    while wiring.request_log.forget(asked_before, CHUNK).await? >= CHUNK as u64 {}
    Ok(())
}
