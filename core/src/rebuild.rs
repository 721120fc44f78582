//! Rankings from the ledger: filling a board, and finding and mending where it drifted.

use std::time::Duration;

use crate::domain::{BoardId, Micros, NamedStanding, UserId};
use crate::ports::{Drift, Ledger, PortError, Rankings, Unexplained};

/// Standings read at once.
const CHUNK: usize = 5_000;
/// A commit is published within this time, unless its worker died or waits: what differs for longer drifted.
const GRACE: Duration = Duration::from_secs(2);

/// What a reconciliation found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Standings compared.
    pub compared: u64,
    /// Standings that were missing or behind, and are mended.
    pub behind: u64,
    /// Standings ahead of the ledger or wrong in another way, or users the ledger does not know: the board has to be
    /// rebuilt.
    pub astray: u64,
}

/// Restores every standing of a board; says how many. For a board that is being built, or is new.
///
/// # Errors
/// When ledger or rankings can not be reached.
pub async fn fill(ledger: &dyn Ledger, rankings: &dyn Rankings, board: &BoardId) -> Result<u64, PortError> {
    let (mut after, mut restored) = (None, 0);
    loop {
        let standings = ledger.standings(board, after, CHUNK).await?;
        let Some(last) = standings.last() else { return Ok(restored) };
        after = Some(last.standing.user);
        restored += standings.len() as u64;
        rankings.restore(board, &standings).await?;
    }
}

/// Rebuilds a board; says how many users stand on it.
///
/// # Errors
/// When ledger or rankings can not be reached, or another process began to rebuild the same board meanwhile.
pub async fn rebuild(ledger: &dyn Ledger, rankings: &dyn Rankings, board: &BoardId) -> Result<u64, PortError> {
    let building = rankings.begin(board).await?;
    let restored = fill(ledger, rankings, board).await?;
    rankings.finish(building).await?;
    Ok(restored)
}

/// Compares a board with the ledger while both are in use, mends what is behind, and says what was found.
///
/// # Errors
/// When ledger or rankings can not be reached.
pub async fn reconcile(ledger: &dyn Ledger, rankings: &dyn Rankings, board: &BoardId) -> Result<Reconciled, PortError> {
    let mut found = Reconciled::default();
    let mut after = None;
    loop {
        let standings = ledger.standings(board, after, CHUNK).await?;
        let Some(last) = standings.last() else { break };
        let differing = rankings.compare(board, &standings).await?;
        found.compared += standings.len() as u64;
        if !differing.is_empty() {
            tokio::time::sleep(GRACE).await;
            let newer = ledger.standings(board, after, CHUNK).await?;
            let differing_still = rankings.compare(board, &of(&standings, &differing)).await?;
            let behind: Vec<Drift> = differing_still.into_iter().filter(|d| is_behind(*d, &standings)).collect();
            found.behind += behind.len() as u64;
            found.astray += differing.iter().filter(|d| is_astray(**d, &standings, &newer)).count() as u64;
            rankings.publish(board, &of(&standings, &behind)).await?;
        }
        after = Some(last.standing.user);
    }
    // Nobody leaves the ledger: more users on the board than in the ledger now are those of another ledger.
    let size = rankings.size(board).await?;
    if size > found.compared {
        found.astray += size.saturating_sub(count(ledger, board).await?);
    }
    Ok(found)
}

async fn count(ledger: &dyn Ledger, board: &BoardId) -> Result<u64, PortError> {
    let (mut after, mut count) = (None, 0);
    loop {
        let standings = ledger.standings(board, after, CHUNK).await?;
        let Some(last) = standings.last() else { return Ok(count) };
        after = Some(last.standing.user);
        count += standings.len() as u64;
    }
}

/// What adding up a board's recorded updates found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Scores that the recorded updates do not add up to, of users whose updates are all still recorded: something
    /// else changed the ledger.
    pub wrong: Vec<Unexplained>,
    /// Users that are older than the retention: some of their updates may be forgotten, so nothing can be said.
    pub undecidable: u64,
}

/// Adds up the recorded updates of a board; `retained_from` is since when none was forgotten.
///
/// # Errors
/// When the ledger can not be reached.
pub async fn verify(ledger: &dyn Ledger, board: &BoardId, retained_from: Micros) -> Result<Verified, PortError> {
    let unexplained = ledger.unexplained(board).await?;
    let (wrong, older): (Vec<_>, Vec<_>) =
        unexplained.into_iter().partition(|unexplained| unexplained.user_since >= retained_from);
    Ok(Verified { wrong, undecidable: older.len() as u64 })
}

fn version_of(user: UserId, standings: &[NamedStanding]) -> Option<i64> {
    // Standings come by user id.
    let place = standings.binary_search_by_key(&user, |named| named.standing.user).ok()?;
    Some(standings[place].standing.version)
}

/// Whether a standing is held at an older version than the ledger had before the grace.
fn is_behind(drift: Drift, before: &[NamedStanding]) -> bool {
    version_of(drift.user, before).is_some_and(|version| drift.held.is_none_or(|held| held < version))
}

/// Whether what was held before the grace is no version the ledger ever had, or has another score than that version.
fn is_astray(drift: Drift, before: &[NamedStanding], after: &[NamedStanding]) -> bool {
    let Some(held) = drift.held else { return false };
    version_of(drift.user, before) == Some(held) || version_of(drift.user, after).is_some_and(|version| held > version)
}

fn of(standings: &[NamedStanding], drifted: &[Drift]) -> Vec<NamedStanding> {
    let users: std::collections::HashSet<UserId> = drifted.iter().map(|drift| drift.user).collect();
    standings.iter().filter(|named| users.contains(&named.standing.user)).cloned().collect()
}
