//! Applying a batch: one transaction, a handful of statements whatever the batch's size.
//!
//! The standings are locked, read, decided about and written, and each update is recorded with what was decided about
//! it: one row, written once. Recording is what makes an update count once: of all transactions that name an id, one
//! inserts its row. A transaction that finds an id recorded before gives up all it decided and begins again, asking
//! first which are known; what others recorded of the same users meanwhile it sees, since it waited for their locks.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use super::error::failed;
use super::rows::user_id;
use super::statements as sql;
use crate::domain::{BoardId, Micros, NamedStanding, Outcome, ScoreUpdate, Standing, UpdateId, UserId, UserName};
use crate::ledger::decide::{Decision, Holder, decide};
use crate::ports::{AppliedBatch, FailureKind, PortError};

pub(super) const OPERATION: &str = "apply updates to the ledger";

/// Transactions a batch may take: one, as a rule. More only where others record the same updates meanwhile.
const TRIES: usize = 8;

/// How a transaction went.
enum Tried {
    Done(AppliedBatch),
    /// Some of the ids are recorded already: nothing may be written as if they were new.
    Known,
    /// Users of a board who have no row there that could be locked.
    Missing(i64, Vec<i64>),
}

/// Applies a batch in one transaction.
pub(super) async fn apply(
    connection: &mut PgConnection,
    updates: &[ScoreUpdate],
    now: Micros,
) -> Result<AppliedBatch, PortError> {
    if updates.is_empty() {
        return Ok(AppliedBatch::default());
    }
    // Board by board, each in the order of the batch: every worker takes its locks in this order.
    let mut ordered: Vec<&ScoreUpdate> = updates.iter().collect();
    ordered.sort_by(|a, b| a.board.cmp(&b.board));
    // Jobs seldom come twice: only when some of a batch turn out to be known is the ledger asked which.
    let mut look = false;
    for _ in 0..TRIES {
        let mut tx = connection.begin_with(sql::BEGIN).await.map_err(failed(OPERATION))?;
        match attempt(&mut tx, &ordered, look, now).await? {
            Tried::Done(batch) => {
                tx.commit().await.map_err(failed(OPERATION))?;
                return Ok(batch);
            }
            Tried::Known => {
                tx.rollback().await.map_err(failed(OPERATION))?;
                look = true;
            }
            Tried::Missing(board_id, users) => {
                // Before they are added its locks are given up: others that wait for them may be adding the same.
                tx.rollback().await.map_err(failed(OPERATION))?;
                let start = sqlx::query(sql::START_STANDINGS).bind(board_id).bind(users);
                start.execute(&mut *connection).await.map_err(failed(OPERATION))?;
            }
        }
    }
    Err(PortError::new(OPERATION, FailureKind::Unavailable, "others keep recording the same updates"))
}

async fn attempt(tx: &mut PgConnection, ordered: &[&ScoreUpdate], look: bool, now: Micros) -> Result<Tried, PortError> {
    let mut batch = AppliedBatch::default();
    let boards = board_ids(tx, ordered.iter().map(|u| &u.board)).await?;
    let mut known = HashSet::with_capacity(ordered.len());
    let mut first = true;
    for updates in ordered.chunk_by(|a, b| a.board == b.board) {
        let Some((board, &board_id)) = updates.first().and_then(|u| boards.get_key_value(&u.board)) else { continue };
        let locked = lock(tx, board_id, updates).await?;
        if look {
            // After the locks: who held them may have recorded some.
            known.extend(recorded(tx, updates).await?);
        }
        let (mut holders, mut names) = holders(tx, board, board_id, updates).await?;
        let missing = |holder: &&Holder| !holder.deleted && !locked.contains(&holder.standing.user.get());
        let missing: Vec<i64> = holders.values().filter(missing).map(|h| h.standing.user.get()).collect();
        if !missing.is_empty() {
            return Ok(Tried::Missing(board_id, missing));
        }
        let decisions = decide(updates.iter().copied(), &mut known, &mut holders);
        if !decisions.new.is_empty() {
            if !record(tx, board_id, &decisions.new, first, now).await? {
                return Ok(Tried::Known);
            }
            first = false;
        }
        let changed: Vec<&Standing> =
            decisions.changed.iter().filter_map(|u| holders.get(u)).map(|h| &h.standing).collect();
        if !changed.is_empty() {
            write_standings(tx, board_id, &changed).await?;
        }
        batch.duplicates += decisions.duplicates;
        for decision in &decisions.new {
            match decision.outcome {
                Outcome::Applied => batch.applied += 1,
                Outcome::Rejected(_) => batch.rejected += 1,
            }
        }
        // In order of appearance, so that viewers hear of a batch in the order it was sent.
        for update in updates {
            let Some(holder) = holders.remove(&update.user).filter(|holder| !holder.deleted) else { continue };
            if let Some(name) = names.remove(&update.user) {
                batch.standings.push(NamedStanding { standing: holder.standing, name });
            }
        }
    }
    Ok(Tried::Done(batch))
}

/// The row ids of boards.
pub(super) async fn board_ids(
    tx: &mut PgConnection,
    boards: impl Iterator<Item = &BoardId>,
) -> Result<HashMap<BoardId, i64>, PortError> {
    let boards: HashSet<&BoardId> = boards.collect();
    let names: Vec<&str> = boards.iter().map(|board| board.as_str()).collect();
    let rows: Vec<(i64, String)> =
        sqlx::query_as(sql::BOARD_IDS).bind(names).fetch_all(tx).await.map_err(failed(OPERATION))?;
    let ids: HashMap<BoardId, i64> = rows.into_iter().map(|(id, name)| (BoardId::new(name), id)).collect();
    match boards.into_iter().find(|board| !ids.contains_key(*board)) {
        None => Ok(ids),
        Some(board) => Err(PortError::new(OPERATION, FailureKind::Rejected, format!("no board is named {board}"))),
    }
}

/// Makes sure that nobody else changes these users' standings until the transaction ends; returns those that are there.
async fn lock(tx: &mut PgConnection, board_id: i64, updates: &[&ScoreUpdate]) -> Result<HashSet<i64>, PortError> {
    let locked: Vec<i64> = sqlx::query_scalar(sql::LOCK_STANDINGS)
        .bind(board_id)
        .bind(users(updates))
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(locked.into_iter().collect())
}

/// The users a batch names, each once.
fn users(updates: &[&ScoreUpdate]) -> Vec<i64> {
    let users: HashSet<i64> = updates.iter().map(|u| u.user.get()).collect();
    users.into_iter().collect()
}

/// Which of these updates the ledger holds already.
async fn recorded(tx: &mut PgConnection, updates: &[&ScoreUpdate]) -> Result<Vec<UpdateId>, PortError> {
    let ids: Vec<String> = sqlx::query_scalar(sql::KNOWN_UPDATES)
        .bind(updates.iter().map(|u| u.id.as_str()).collect::<Vec<_>>())
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(ids.into_iter().map(UpdateId::new).collect())
}

async fn holders(
    tx: &mut PgConnection,
    board: &BoardId,
    board_id: i64,
    updates: &[&ScoreUpdate],
) -> Result<(HashMap<UserId, Holder>, HashMap<UserId, UserName>), PortError> {
    let rows =
        sqlx::query(sql::HOLDERS).bind(board_id).bind(users(updates)).fetch_all(tx).await.map_err(failed(OPERATION))?;
    let mut holders = HashMap::with_capacity(rows.len());
    let mut names = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (holder, name) = holder(board, row).map_err(failed(OPERATION))?;
        names.insert(holder.standing.user, name);
        holders.insert(holder.standing.user, holder);
    }
    Ok((holders, names))
}

fn holder(board: &BoardId, row: &PgRow) -> Result<(Holder, UserName), sqlx::Error> {
    let user = user_id(row.try_get("id")?)?;
    // A user who never scored on this board starts from nothing, at version 0: the first change makes it 1.
    let start = Standing { version: 0, ..Standing::initial(board.clone(), user, Micros(row.try_get("created_at")?)) };
    let standing = match row.try_get::<Option<i64>, _>("score")? {
        None => start,
        Some(score) => Standing {
            score,
            version: row.try_get("version")?,
            reached_at: Micros(row.try_get("reached_at")?),
            ..start
        },
    };
    let deleted = row.try_get::<Option<i64>, _>("deleted_at")?.is_some();
    Ok((Holder { standing, deleted }, UserName::stored(row.try_get("name")?)))
}

/// Writes down what was decided. Says `false` when any of the ids was recorded before: then nothing may count.
/// `first`: nothing of the transaction was recorded yet.
async fn record(
    tx: &mut PgConnection,
    board_id: i64,
    decisions: &[Decision<'_>],
    first: bool,
    now: Micros,
) -> Result<bool, PortError> {
    let texts = |part: fn(&ScoreUpdate) -> &str| decisions.iter().map(|d| part(d.update)).collect::<Vec<&str>>();
    let numbers = |part: fn(&ScoreUpdate) -> i64| decisions.iter().map(|d| part(d.update)).collect::<Vec<i64>>();
    let rejection = |decision: &Decision<'_>| match decision.outcome {
        Outcome::Applied => None,
        Outcome::Rejected(rejection) => Some(rejection.slug()),
    };
    let written = sqlx::query(sql::RECORD_UPDATES)
        .bind(board_id)
        .bind(now.0)
        .bind(first)
        .bind(texts(|u| u.id.as_str()))
        .bind(numbers(|u| u.user.get()))
        .bind(texts(|u| u.operator.name()))
        .bind(numbers(|u| u.operator.amount()))
        .bind(numbers(|u| u.accepted_at.0))
        .bind(texts(|u| u.submitter.as_str()))
        .bind(texts(|u| u.request.as_str()))
        .bind(numbers(|u| i64::from(u.attempt)))
        .bind(decisions.iter().map(rejection).collect::<Vec<_>>())
        .bind(decisions.iter().map(|d| d.score).collect::<Vec<_>>())
        .execute(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(written.rows_affected() == decisions.len() as u64)
}

/// Writes standings of one board.
pub(super) async fn write_standings(
    tx: &mut PgConnection,
    board_id: i64,
    standings: &[&Standing],
) -> Result<(), PortError> {
    let numbers = |part: fn(&Standing) -> i64| standings.iter().map(|&s| part(s)).collect::<Vec<i64>>();
    sqlx::query(sql::WRITE_STANDINGS)
        .bind(board_id)
        .bind(numbers(|s| s.user.get()))
        .bind(numbers(|s| s.score))
        .bind(numbers(|s| s.version))
        .bind(numbers(|s| s.reached_at.0))
        .execute(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(())
}
