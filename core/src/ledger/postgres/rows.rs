//! Rows read back into the domain.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::domain::{
    BoardId, Micros, NamedStanding, Outcome, Rejection, RequestId, Standing, Subject, UpdateId, User, UserId, UserName,
};
use crate::ports::{Unexplained, UpdateRecord};

pub(super) fn user_id(value: i64) -> Result<UserId, sqlx::Error> {
    UserId::parse(value).map_err(|e| sqlx::Error::Decode(e.into()))
}

pub(super) fn user(row: &PgRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: user_id(row.try_get("id")?)?,
        name: UserName::stored(row.try_get("name")?),
        created_at: Micros(row.try_get("created_at")?),
    })
}

pub(super) fn named_standing(board: &BoardId, row: &PgRow) -> Result<NamedStanding, sqlx::Error> {
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

/// Fails to decode a recorded rejection that this version does not know.
pub(super) fn update_record(id: &UpdateId, row: &PgRow) -> Result<UpdateRecord, sqlx::Error> {
    let outcome =
        match row.try_get::<Option<&str>, _>("rejection")? {
            None => Outcome::Applied,
            Some(slug) => Outcome::Rejected(Rejection::from_slug(slug).ok_or_else(|| {
                sqlx::Error::Decode(format!("the rejection {slug} is unknown to this version").into())
            })?),
        };
    Ok(UpdateRecord {
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
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
    })
}

pub(super) fn unexplained(row: &PgRow) -> Result<Unexplained, sqlx::Error> {
    Ok(Unexplained {
        user: user_id(row.try_get("user_id")?)?,
        score: row.try_get("score")?,
        recorded: row.try_get("recorded")?,
        user_since: Micros(row.try_get("created_at")?),
    })
}
