//! Applying a batch: one transaction, a handful of statements whatever the batch's size.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::statements as sql;
use super::{BEGIN, user_id};
use crate::domain::{BoardId, Micros, NamedStanding, Outcome, ScoreUpdate, Standing, UpdateId, UserId, UserName};
use crate::ledger::decide::{Decision, Holder, decide};
use crate::ports::{AppliedBatch, FailureKind, PortError};
use crate::sqlite::{failed, json_parameter};

const OPERATION: &str = "apply updates to the ledger";

/// Applies a batch in one transaction.
pub(super) async fn apply(
    writer: &SqlitePool,
    updates: &[ScoreUpdate],
    now: Micros,
) -> Result<AppliedBatch, PortError> {
    let mut batch = AppliedBatch::default();
    let mut tx = writer.begin_with(BEGIN).await.map_err(failed(OPERATION))?;
    let mut known = known_updates(&mut tx, updates).await?;
    for board in boards(updates) {
        apply_board(&mut tx, board, updates, &mut known, now, &mut batch).await?;
    }
    tx.commit().await.map_err(failed(OPERATION))?;
    Ok(batch)
}

/// The boards of a batch, each once.
fn boards(updates: &[ScoreUpdate]) -> Vec<&BoardId> {
    let mut boards: Vec<&BoardId> = updates.iter().map(|u| &u.board).collect();
    boards.sort_unstable();
    boards.dedup();
    boards
}

async fn known_updates(tx: &mut SqliteConnection, updates: &[ScoreUpdate]) -> Result<HashSet<UpdateId>, PortError> {
    let ids: Vec<&UpdateId> = updates.iter().map(|u| &u.id).collect();
    let known: Vec<String> = sqlx::query_scalar(sql::KNOWN_UPDATES)
        .bind(json_parameter(&ids))
        .fetch_all(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(known.into_iter().map(UpdateId::new).collect())
}

async fn apply_board(
    tx: &mut SqliteConnection,
    board: &BoardId,
    updates: &[ScoreUpdate],
    known: &mut HashSet<UpdateId>,
    now: Micros,
    batch: &mut AppliedBatch,
) -> Result<(), PortError> {
    let board_id = board_id(tx, board).await?;
    let of_board = || updates.iter().filter(|u| u.board == *board);
    let (mut holders, mut names) = holders(tx, board, board_id, of_board()).await?;
    let decisions = decide(of_board(), known, &mut holders);
    if !decisions.new.is_empty() {
        record(tx, board_id, &decisions.new, now).await?;
        let changed = decisions.changed.iter().filter_map(|user| holders.get(user)).map(|h| &h.standing);
        write_standings(tx, board_id, changed).await?;
    }
    batch.duplicates += decisions.duplicates;
    for decision in &decisions.new {
        match decision.outcome {
            Outcome::Applied => batch.applied += 1,
            Outcome::Rejected(_) => batch.rejected += 1,
        }
    }
    // In order of appearance, so that viewers hear of a batch in the order it was sent.
    for update in of_board() {
        let Some(holder) = holders.remove(&update.user).filter(|holder| !holder.deleted) else { continue };
        if let Some(name) = names.remove(&update.user) {
            batch.standings.push(NamedStanding { standing: holder.standing, name });
        }
    }
    Ok(())
}

/// The row id of a board.
pub(super) async fn board_id(tx: &mut SqliteConnection, board: &BoardId) -> Result<i64, PortError> {
    sqlx::query_scalar(sql::BOARD_ID)
        .bind(board.as_str())
        .fetch_optional(tx)
        .await
        .map_err(failed(OPERATION))?
        .ok_or_else(|| PortError::new(OPERATION, FailureKind::Rejected, format!("no board is named {board}")))
}

async fn holders(
    tx: &mut SqliteConnection,
    board: &BoardId,
    board_id: i64,
    updates: impl Iterator<Item = &ScoreUpdate>,
) -> Result<(HashMap<UserId, Holder>, HashMap<UserId, UserName>), PortError> {
    let users: HashSet<UserId> = updates.map(|u| u.user).collect();
    let rows = sqlx::query(sql::HOLDERS)
        .bind(board_id)
        .bind(json_parameter(&users))
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

fn holder(board: &BoardId, row: &SqliteRow) -> Result<(Holder, UserName), sqlx::Error> {
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

async fn record(
    tx: &mut SqliteConnection,
    board_id: i64,
    decisions: &[Decision<'_>],
    now: Micros,
) -> Result<(), PortError> {
    let rows: Vec<_> = decisions
        .iter()
        .map(|Decision { update: u, outcome, score }| {
            let rejection = match outcome {
                Outcome::Applied => None,
                Outcome::Rejected(rejection) => Some(rejection.slug()),
            };
            (
                &u.id,
                u.user,
                u.operator.name(),
                u.operator.amount(),
                u.accepted_at,
                rejection,
                score,
                &u.submitter,
                &u.request,
                u.attempt,
            )
        })
        .collect();
    sqlx::query(sql::RECORD_UPDATES)
        .bind(board_id)
        .bind(now.0)
        .bind(json_parameter(&rows))
        .execute(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(())
}

/// Writes standings of one board.
pub(super) async fn write_standings(
    tx: &mut SqliteConnection,
    board_id: i64,
    standings: impl Iterator<Item = &Standing>,
) -> Result<(), PortError> {
    let rows: Vec<_> = standings.map(|s| (s.user, s.score, s.version, s.reached_at)).collect();
    sqlx::query(sql::WRITE_STANDINGS)
        .bind(board_id)
        .bind(json_parameter(&rows))
        .execute(tx)
        .await
        .map_err(failed(OPERATION))?;
    Ok(())
}
