//! Users in PostgreSQL.

use sqlx::Connection;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::error::failed;
use super::{apply, rows, statements as sql};
use crate::domain::{BoardId, Micros, Standing, User, UserId};
use crate::ports::{FailureKind, NewUser, PortError, UserCreation};

/// Creates a user with its standing on board `main` in one transaction, unless the id is taken.
pub(super) async fn create_user(
    operation: &'static str,
    connection: &mut PgConnection,
    user: &NewUser,
    now: Micros,
) -> Result<UserCreation, PortError> {
    let error = failed(operation);
    let mut tx = connection.begin_with(sql::BEGIN).await.map_err(&error)?;
    let id = loop {
        let id = match user.id {
            Some(id) => id,
            None => {
                let next: i64 = sqlx::query_scalar(sql::TAKE_USER_ID).fetch_one(&mut *tx).await.map_err(&error)?;
                UserId::parse(next).map_err(|e| PortError::new(operation, FailureKind::Rejected, e))?
            }
        };
        // Waits for a transaction that is adding the same id.
        let added = sqlx::query(sql::ADD_USER)
            .bind(id.get())
            .bind(user.name.as_str())
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        if added.rows_affected() == 1 {
            break id;
        }
        if user.id.is_some() {
            let row = sqlx::query(sql::FIND_USER).bind(id.get()).fetch_one(&mut *tx).await.map_err(&error)?;
            let existing = rows::user(&row).map_err(&error)?;
            tx.rollback().await.map_err(&error)?;
            return Ok(if existing.name == user.name {
                UserCreation::Existing(existing)
            } else {
                UserCreation::NameDiffers(existing)
            });
        }
        // Somebody asked for the id since it was taken: the next statement sees that and takes another.
    };
    let board = BoardId::main();
    let standing = Standing::initial(board.clone(), id, now);
    for board_id in apply::board_ids(&mut tx, std::iter::once(&board)).await?.into_values() {
        apply::write_standings(&mut tx, board_id, &[&standing]).await?;
    }
    tx.commit().await.map_err(&error)?;
    Ok(UserCreation::Created(User { id, name: user.name.clone(), created_at: now }, standing))
}

/// The living user with this id.
pub(super) async fn find_user(
    operation: &'static str,
    connection: &mut PgConnection,
    id: UserId,
) -> Result<Option<User>, PortError> {
    let error = failed(operation);
    let row = sqlx::query(sql::FIND_USER).bind(id.get()).fetch_optional(connection).await.map_err(&error)?;
    let Some(row) = row else { return Ok(None) };
    let deleted: Option<i64> = row.try_get("deleted_at").map_err(&error)?;
    if deleted.is_some() {
        return Ok(None);
    }
    rows::user(&row).map(Some).map_err(&error)
}

/// Living users by id.
pub(super) async fn users(
    operation: &'static str,
    connection: &mut PgConnection,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<User>, PortError> {
    let error = failed(operation);
    let rows = sqlx::query(sql::USERS)
        .bind(after.map_or(0, UserId::get))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(&error)?;
    rows.iter().map(|row| rows::user(row).map_err(&error)).collect()
}
