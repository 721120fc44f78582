//! Requests to sources as both databases keep them.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::domain::{FeedName, JobId, Micros};
use crate::ports::{RequestPage, SourceRequestRecord};

/// Stands after every id.
pub(super) const END: &str = "\u{10ffff}";

/// Text that every database can hold.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// A number of a database.
pub(super) fn number(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// A row of either database.
pub(super) fn request<'r, R>(row: &'r R) -> Result<SourceRequestRecord, sqlx::Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let unsigned = |name: &'static str| -> Result<u64, sqlx::Error> {
        u64::try_from(row.try_get::<i64, _>(name)?).map_err(unreadable)
    };
    let status: Option<i64> = row.try_get("status")?;
    Ok(SourceRequestRecord {
        id: row.try_get("id")?,
        feed: FeedName::parse(row.try_get::<String, _>("feed")?).map_err(unreadable)?,
        url: row.try_get("url")?,
        at: Micros(row.try_get("at")?),
        status: status.map(u16::try_from).transpose().map_err(unreadable)?,
        latency: Duration::from_micros(unsigned("latency_us")?),
        bytes: unsigned("bytes")?,
        outcome: row.try_get("outcome")?,
        detail: row.try_get("detail")?,
        job: JobId::new(row.try_get::<String, _>("job_id")?),
        attempt: u32::try_from(unsigned("attempt")?).map_err(unreadable)?,
    })
}

/// A page that is full may have another after it.
pub(super) fn page(requests: Vec<SourceRequestRecord>, limit: usize) -> RequestPage {
    let next = requests.last().filter(|_| requests.len() == limit).map(|last| last.id.clone());
    RequestPage { requests, next }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
