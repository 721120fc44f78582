//! Keeps the rankings true to the ledger: rebuilds a board that was lost, compares the rest on a schedule, and mends and
//! counts what drifted. One process does it for all.

use std::time::Duration;

use scorewire_core::domain::BoardId;
use scorewire_core::ports::{FailureKind, PortError};
use scorewire_core::rebuild;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::lease;

/// Between two looks whether a board was lost.
const BEAT: Duration = Duration::from_millis(250);
/// Renewed three times within it while a rebuild or comparison runs.
const LEASE_TIME: Duration = Duration::from_secs(5);
const LEASE: &str = "reconcile";
/// The schedule's own lease: whoever compared last keeps it until the next comparison is due.
const SCHEDULE: &str = "reconcile-schedule";

/// Runs until shutdown.
pub async fn run(wiring: Wiring, settings: Settings, shutdown: CancellationToken) {
    let board = BoardId::main();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Instant::now() + settings.reconcile_every.0;
    let mut troubled = false;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = shutdown.cancelled() => break,
        }
        let work = async {
            rebuild_lost(&wiring, &board).await?;
            if Instant::now() >= due {
                due = Instant::now() + settings.reconcile_every.0;
                compare(&wiring, &board, settings.reconcile_every.0).await?;
            }
            Ok::<(), PortError>(())
        };
        let done = tokio::select! {
            done = work => done,
            () = shutdown.cancelled() => break,
        };
        match done {
            Ok(()) => troubled = false,
            Err(error) if !troubled => {
                tracing::warn!(%error, "the rankings can not be compared or rebuilt now, and will be later");
                troubled = true;
            }
            Err(_) => {}
        }
    }
    // The next process need not wait for the lease to run out; if it can not be told, it will.
    let _ = wiring.leases.release(LEASE).await;
}

/// Rebuilds a board if it was lost or never built, unless another process is at it.
///
/// # Errors
/// When ledger or rankings can not be reached.
pub async fn rebuild_lost(wiring: &Wiring, board: &BoardId) -> Result<(), PortError> {
    if !wiring.rankings.is_stale(board).await? || !wiring.leases.hold(LEASE, LEASE_TIME).await? {
        return Ok(());
    }
    // Somebody else may have rebuilt it between the look and the lease.
    if wiring.rankings.is_stale(board).await? {
        rebuild_now(wiring, board).await?;
    }
    wiring.leases.release(LEASE).await
}

/// Another process is at it.
#[derive(Debug)]
struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another process rebuilds or compares the board now")
    }
}

impl std::error::Error for Busy {}

/// Rebuilds a board at a person's wish, lost or not; says how many users stand on it.
///
/// # Errors
/// When ledger or rankings can not be reached, and unavailable while another process is at it.
pub async fn rebuild(wiring: &Wiring, board: &BoardId) -> Result<u64, PortError> {
    if !wiring.leases.hold(LEASE, LEASE_TIME).await? {
        return Err(PortError::new("rebuild a board", FailureKind::Unavailable, Busy));
    }
    let users = rebuild_now(wiring, board).await?;
    wiring.leases.release(LEASE).await?;
    Ok(users)
}

async fn rebuild_now(wiring: &Wiring, board: &BoardId) -> Result<u64, PortError> {
    let began = Instant::now();
    let rebuilding = rebuild::rebuild(wiring.ledger.as_ref(), wiring.rankings.as_ref(), board);
    let users = leading(wiring, rebuilding).await?;
    wiring.metrics.rebuilds.inc();
    tracing::info!(%board, users, ms = began.elapsed().as_millis(), "rebuilt a board from the ledger");
    Ok(users)
}

async fn compare(wiring: &Wiring, board: &BoardId, every: Duration) -> Result<(), PortError> {
    // A little less than the schedule: whoever is due next finds it free.
    if !wiring.leases.hold(SCHEDULE, every.mul_f64(0.9)).await? {
        return Ok(());
    }
    let comparing = rebuild::reconcile(wiring.ledger.as_ref(), wiring.rankings.as_ref(), board);
    let found = leading(wiring, comparing).await?;
    wiring.metrics.reconciled.inc();
    wiring.metrics.drift.inc_by(found.behind + found.astray);
    if found.behind + found.astray > 0 {
        tracing::warn!(%board, found.compared, found.behind, found.astray, "the rankings had drifted from the ledger");
    } else {
        tracing::debug!(%board, found.compared, "the rankings are those of the ledger");
    }
    if found.astray > 0 {
        rebuild_now(wiring, board).await?;
    }
    Ok(())
}

/// Does something that may take long, and keeps the lease meanwhile. Losing it is no harm: overlapping attempts are told
/// apart, and comparing twice changes nothing.
async fn leading<T>(wiring: &Wiring, work: impl Future<Output = T>) -> T {
    lease::kept(&*wiring.leases, LEASE, LEASE_TIME, work).await
}
