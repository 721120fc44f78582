//! The ledger in a SQLite file: write-ahead log, `synchronous=FULL`, one writer.
//!
//! Every transaction begins IMMEDIATE: it holds the only write lock from its first statement, so what it reads
//! can not change before it writes.

mod apply;
mod requests;
pub mod statements;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteRow, SqliteSynchronous};

use self::statements as sql;
use crate::domain::{
    BoardId, Micros, NamedStanding, Outcome, Rejection, RequestId, ScoreUpdate, Standing, Subject, UpdateId, User,
    UserId, UserName,
};
use crate::ports::{
    AppliedBatch, Clock, FailureKind, Ledger, NewUser, PortError, Roster, Unexplained, UpdateRecord, UserCreation,
};
use crate::sqlite::{OpenError, SqliteFile, failed};

const BEGIN: &str = "BEGIN IMMEDIATE";

/// The ledger in a SQLite file.
pub struct SqliteLedger {
    file: SqliteFile,
    clock: Arc<dyn Clock>,
}

impl SqliteLedger {
    /// Opens or creates the file and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let migrations = sqlx::migrate!("../migrations/sqlite/ledger");
        let file = SqliteFile::open(path, SqliteSynchronous::Full, &[migrations]).await?;
        Ok(Self { file, clock })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.file.close().await;
    }

    /// Prepares every statement, and says which one failed.
    ///
    /// # Errors
    /// The statement's text with the database's error.
    pub async fn prepare_all(&self) -> Result<(), String> {
        self.file.prepare_all(&sql::ALL).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn apply(&self, updates: &[ScoreUpdate]) -> Result<AppliedBatch, PortError> {
        apply::apply(&self.file.writer, updates, self.clock.now()).await
    }

    async fn find_update(&self, id: &UpdateId) -> Result<Option<UpdateRecord>, PortError> {
        const OPERATION: &str = "look up an update";
        let row = sqlx::query(sql::FIND_UPDATE)
            .bind(id.as_str())
            .fetch_optional(&self.file.readers)
            .await
            .map_err(failed(OPERATION))?;
        row.map(|row| update_record(id, &row).map_err(failed(OPERATION))?.ok_or_else(|| unknown(OPERATION))).transpose()
    }

    async fn standings(
        &self,
        board: &BoardId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<NamedStanding>, PortError> {
        const OPERATION: &str = "read standings";
        let rows = sqlx::query(sql::STANDINGS)
            .bind(board.as_str())
            .bind(after.map_or(0, UserId::get))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.file.readers)
            .await
            .map_err(failed(OPERATION))?;
        rows.iter().map(|row| named_standing(board, row).map_err(failed(OPERATION))).collect()
    }

    async fn unexplained(&self, board: &BoardId) -> Result<Vec<Unexplained>, PortError> {
        let error = failed("add up recorded updates");
        let rows =
            sqlx::query(sql::UNEXPLAINED).bind(board.as_str()).fetch_all(&self.file.readers).await.map_err(&error)?;
        rows.iter().map(|row| unexplained(row).map_err(&error)).collect()
    }

    async fn forget_updates(&self, before: Micros, limit: usize) -> Result<u64, PortError> {
        sqlx::query(sql::FORGET_UPDATES)
            .bind(before.0)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .execute(&self.file.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(failed("forget old updates"))
    }

    async fn probe(&self) -> Result<(), PortError> {
        let error = failed("reach the ledger");
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        sqlx::query(sql::PROBE).execute(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)
    }
}

#[async_trait]
impl Roster for SqliteLedger {
    async fn create_user(&self, user: &NewUser, now: Micros) -> Result<UserCreation, PortError> {
        const OPERATION: &str = "create a user";
        let error = failed(OPERATION);
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        let id = loop {
            let id = match user.id {
                Some(id) => id,
                None => {
                    let next: i64 = sqlx::query_scalar(sql::TAKE_USER_ID).fetch_one(&mut *tx).await.map_err(&error)?;
                    UserId::parse(next).map_err(|e| PortError::new(OPERATION, FailureKind::Rejected, e))?
                }
            };
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
                let existing = stored_user(&row).map_err(&error)?;
                return Ok(if existing.name == user.name {
                    UserCreation::Existing(existing)
                } else {
                    UserCreation::NameDiffers(existing)
                });
            }
        };
        let board = BoardId::main();
        let standing = Standing::initial(board.clone(), id, now);
        let board_id = apply::board_id(&mut tx, &board).await?;
        apply::write_standings(&mut tx, board_id, std::iter::once(&standing)).await?;
        tx.commit().await.map_err(&error)?;
        Ok(UserCreation::Created(User { id, name: user.name.clone(), created_at: now }, standing))
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>, PortError> {
        let error = failed("look up a user");
        let row =
            sqlx::query(sql::FIND_USER).bind(id.get()).fetch_optional(&self.file.readers).await.map_err(&error)?;
        let Some(row) = row else { return Ok(None) };
        let deleted: Option<i64> = row.try_get("deleted_at").map_err(&error)?;
        if deleted.is_some() {
            return Ok(None);
        }
        stored_user(&row).map(Some).map_err(&error)
    }

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, PortError> {
        let error = failed("list users");
        let rows = sqlx::query(sql::USERS)
            .bind(after.map_or(0, UserId::get))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.file.readers)
            .await
            .map_err(&error)?;
        rows.iter().map(|row| stored_user(row).map_err(&error)).collect()
    }
}

fn user_id(value: i64) -> Result<UserId, sqlx::Error> {
    UserId::parse(value).map_err(|e| sqlx::Error::Decode(e.into()))
}

fn stored_user(row: &SqliteRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: user_id(row.try_get("id")?)?,
        name: UserName::stored(row.try_get("name")?),
        created_at: Micros(row.try_get("created_at")?),
    })
}

fn named_standing(board: &BoardId, row: &SqliteRow) -> Result<NamedStanding, sqlx::Error> {
    Ok(NamedStanding {
        standing: Standing {
            board: board.clone(),
            user: user_id(row.try_get("user_id")?)?,
            score: row.try_get("score")?,
            version: row.try_get("version")?,
            reached_at: Micros(row.try_get("reached_at")?),
        },
        name: UserName::stored(row.try_get("name")?),
    })
}

/// `None` when the recorded rejection is one this version does not know.
fn update_record(id: &UpdateId, row: &SqliteRow) -> Result<Option<UpdateRecord>, sqlx::Error> {
    let rejection: Option<&str> = row.try_get("rejection")?;
    let outcome = match rejection {
        None => Outcome::Applied,
        Some(slug) => match Rejection::from_slug(slug) {
            Some(rejection) => Outcome::Rejected(rejection),
            None => return Ok(None),
        },
    };
    Ok(Some(UpdateRecord {
        id: id.clone(),
        board: BoardId::new(row.try_get::<String, _>("board")?),
        user: user_id(row.try_get("user_id")?)?,
        amount: row.try_get("amount")?,
        accepted_at: Micros(row.try_get("accepted_at")?),
        decided_at: Micros(row.try_get("decided_at")?),
        outcome,
        score: row.try_get("score")?,
        submitter: Subject::new(row.try_get::<String, _>("submitter")?),
        request: RequestId::new(row.try_get::<String, _>("request_id")?),
        attempts: row.try_get("attempts")?,
    }))
}

fn unknown(operation: &'static str) -> PortError {
    PortError::new(operation, FailureKind::Corrupt, "the recorded rejection is unknown to this version")
}

fn unexplained(row: &SqliteRow) -> Result<Unexplained, sqlx::Error> {
    Ok(Unexplained {
        user: user_id(row.try_get("user_id")?)?,
        score: row.try_get("score")?,
        recorded: row.try_get("recorded")?,
        user_since: Micros(row.try_get("created_at")?),
    })
}
