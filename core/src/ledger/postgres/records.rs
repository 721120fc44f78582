//! Reading what the ledger recorded, and forgetting it.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::error::failed;
use super::{rows, statements as sql};
use crate::domain::{BoardId, Micros, NamedStanding, UpdateId, UserId};
use crate::ports::{PortError, Unexplained, UpdateRecord};

pub(super) async fn find_update(
    operation: &'static str,
    connection: &mut PgConnection,
    id: &UpdateId,
) -> Result<Option<UpdateRecord>, PortError> {
    let error = failed(operation);
    let row = sqlx::query(sql::FIND_UPDATE).bind(id.as_str()).fetch_optional(connection).await.map_err(&error)?;
    row.map(|row| rows::update_record(id, &row).map_err(&error)).transpose()
}

pub(super) async fn standings(
    operation: &'static str,
    connection: &mut PgConnection,
    board: &BoardId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<NamedStanding>, PortError> {
    let error = failed(operation);
    let found = sqlx::query(sql::STANDINGS)
        .bind(board.as_str())
        .bind(after.map_or(0, UserId::get))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(&error)?;
    found.iter().map(|row| rows::named_standing(board, row).map_err(&error)).collect()
}

pub(super) const ADD_UP: &str = "add up recorded updates";

/// Without the limits that keep the pool's other statements short.
pub(super) async fn unexplained(connection: &mut PgConnection, board: &BoardId) -> Result<Vec<Unexplained>, PortError> {
    let error = failed(ADD_UP);
    let mut tx = connection.begin().await.map_err(&error)?;
    sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on")
        .execute(&mut *tx)
        .await
        .map_err(&error)?;
    let found = sqlx::query(sql::UNEXPLAINED).bind(board.as_str()).fetch_all(&mut *tx).await.map_err(&error)?;
    tx.rollback().await.map_err(&error)?;
    found.iter().map(|row| rows::unexplained(row).map_err(&error)).collect()
}

pub(super) async fn forget_updates(
    operation: &'static str,
    connection: &mut PgConnection,
    before: Micros,
    limit: usize,
) -> Result<u64, PortError> {
    sqlx::query(sql::FORGET_UPDATES)
        .bind(before.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(failed(operation))
}

/// Begins a write and takes it back.
pub(super) async fn probe(operation: &'static str, connection: &mut PgConnection) -> Result<(), PortError> {
    let error = failed(operation);
    let mut tx = connection.begin_with(sql::BEGIN).await.map_err(&error)?;
    sqlx::query(sql::PROBE).execute(&mut *tx).await.map_err(&error)?;
    tx.rollback().await.map_err(&error)
}
