//! Applying a batch: one transaction, a handful of statements whatever the batch's size.
//!
//! Claiming the ids comes first and is what makes an update count once: of all transactions that name an id, one
//! inserts its row. Then the standings are locked, read, decided about and written.

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

/// Applies a batch in one transaction.
pub(super) async fn apply(
    connection: &mut PgConnection,
    updates: &[ScoreUpdate],
    now: Micros,
) -> Result<AppliedBatch, PortError> {
    let mut batch = AppliedBatch::default();
    if updates.is_empty() {
        return Ok(batch);
    }
    // Board by board, each in the order of the batch: every worker takes its locks in this order.
    let mut ordered: Vec<&ScoreUpdate> = updates.iter().collect();
    ordered.sort_by(|a, b| a.board.cmp(&b.board));
    let mut tx = connection.begin_with(sql::BEGIN).await.map_err(failed(OPERATION))?;
    let boards = board_ids(&mut tx, ordered.iter().map(|u| &u.board)).await?;
    let new = claim(&mut tx, &ordered, &boards, now).await?;
    let mut known: HashSet<UpdateId> =
        updates.iter().filter(|u| !new.contains(u.id.as_str())).map(|u| u.id.clone()).collect();
    for of_board in ordered.chunk_by(|a, b| a.board == b.board) {
        apply_board(&mut tx, &boards, of_board, &mut known, &mut batch).await?;
    }
    tx.commit().await.map_err(failed(OPERATION))?;
    Ok(batch)
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

/// Inserts the updates whose ids nobody claimed before, and returns those ids.
async fn claim(
    tx: &mut PgConnection,
    ordered: &[&ScoreUpdate],
    boards: &HashMap<BoardId, i64>,
    now: Micros,
) -> Result<HashSet<String>, PortError> {
    let mut seen = HashSet::with_capacity(ordered.len());
    // An id that comes twice is the first one's: deciding takes the same one.
    let first: Vec<&ScoreUpdate> = ordered.iter().copied().filter(|u| seen.insert(&u.id)).collect();
    let texts = |part: fn(&ScoreUpdate) -> &str| first.iter().map(|&u| part(u)).collect::<Vec<&str>>();
    let numbers = |part: fn(&ScoreUpdate) -> i64| first.iter().map(|&u| part(u)).collect::<Vec<i64>>();
    let board_ids: Vec<Option<i64>> = first.iter().map(|u| boards.get(&u.board).copied()).collect();
    let new: Vec<String> = sqlx::query_scalar(sql::CLAIM_UPDATES)
        .bind(texts(|u| u.id.as_str()))
        .bind(board_ids)
        .bind(numbers(|u| u.user.get()))
        .bind(texts(|u| u.operator.name()))
        .bind(numbers(|u| u.operator.amount()))
        .bind(numbers(|u| u.accepted_at.0))
        .bind(texts(|u| u.submitter.as_str()))
        .bind(texts(|u| u.request.as_str()))
        .bind(numbers(|u| i64::from(u.attempt)))
        .bind(now.0)
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(new.into_iter().collect())
}

async fn apply_board(
    tx: &mut PgConnection,
    boards: &HashMap<BoardId, i64>,
    updates: &[&ScoreUpdate],
    known: &mut HashSet<UpdateId>,
    batch: &mut AppliedBatch,
) -> Result<(), PortError> {
    let Some((board, &board_id)) = updates.first().and_then(|u| boards.get_key_value(&u.board)) else { return Ok(()) };
    let touched: HashSet<UserId> = updates.iter().filter(|u| !known.contains(&u.id)).map(|u| u.user).collect();
    if !touched.is_empty() {
        lock(tx, board_id, touched).await?;
    }
    let (mut holders, mut names) = holders(tx, board, board_id, updates).await?;
    let decisions = decide(updates.iter().copied(), known, &mut holders);
    if !decisions.new.is_empty() {
        record(tx, &decisions.new).await?;
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
    Ok(())
}

/// Makes sure that nobody else changes these users' standings until the transaction ends.
async fn lock(tx: &mut PgConnection, board_id: i64, users: HashSet<UserId>) -> Result<(), PortError> {
    let users: Vec<i64> = users.into_iter().map(UserId::get).collect();
    for statement in [sql::START_STANDINGS, sql::LOCK_STANDINGS] {
        sqlx::query(statement).bind(board_id).bind(&users).execute(&mut *tx).await.map_err(failed(OPERATION))?;
    }
    Ok(())
}

async fn holders(
    tx: &mut PgConnection,
    board: &BoardId,
    board_id: i64,
    updates: &[&ScoreUpdate],
) -> Result<(HashMap<UserId, Holder>, HashMap<UserId, UserName>), PortError> {
    let users: HashSet<i64> = updates.iter().map(|u| u.user.get()).collect();
    let rows = sqlx::query(sql::HOLDERS)
        .bind(board_id)
        .bind(users.into_iter().collect::<Vec<i64>>())
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
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

async fn record(tx: &mut PgConnection, decisions: &[Decision<'_>]) -> Result<(), PortError> {
    let rejections: Vec<Option<&str>> = decisions
        .iter()
        .map(|decision| match decision.outcome {
            Outcome::Applied => None,
            Outcome::Rejected(rejection) => Some(rejection.slug()),
        })
        .collect();
    sqlx::query(sql::RECORD_OUTCOMES)
        .bind(decisions.iter().map(|d| d.update.id.as_str()).collect::<Vec<_>>())
        .bind(rejections)
        .bind(decisions.iter().map(|d| d.score).collect::<Vec<_>>())
        .execute(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(())
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
