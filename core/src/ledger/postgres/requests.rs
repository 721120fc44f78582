//! The log of requests to sources, in the ledger's database.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::failed;
use super::{PostgresLedger, settle, statements as sql};
use crate::domain::{FeedName, JobId, Micros};
use crate::ledger::requests::{END, number, page, request, storable};
use crate::ports::{PortError, RequestLog, RequestPage, SourceRequestRecord};

#[async_trait]
impl RequestLog for PostgresLedger {
    async fn record(&self, requests: &[SourceRequestRecord]) -> Result<(), PortError> {
        const OPERATION: &str = "record a request to a source";
        if requests.is_empty() {
            return Ok(());
        }
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(record(OPERATION, &mut connection, requests)).await;
        settle(OPERATION, connection, waited)
    }

    async fn list(&self, feed: Option<&FeedName>, after: Option<&str>, limit: usize) -> Result<RequestPage, PortError> {
        const OPERATION: &str = "list requests to sources";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(list(OPERATION, &mut connection, feed, after, limit)).await;
        settle(OPERATION, connection, waited)
    }

    async fn of_job(&self, job: &JobId) -> Result<Vec<SourceRequestRecord>, PortError> {
        const OPERATION: &str = "list a job's requests to its source";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(of_job(OPERATION, &mut connection, job)).await;
        settle(OPERATION, connection, waited)
    }

    async fn forget(&self, before: Micros, limit: usize) -> Result<u64, PortError> {
        const OPERATION: &str = "forget old requests to sources";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(forget(OPERATION, &mut connection, before, limit)).await;
        settle(OPERATION, connection, waited)
    }
}

async fn record(
    operation: &'static str,
    connection: &mut PgConnection,
    requests: &[SourceRequestRecord],
) -> Result<(), PortError> {
    let texts = |text: fn(&SourceRequestRecord) -> &str| -> Vec<String> {
        requests.iter().map(|request| storable(text(request)).into_owned()).collect()
    };
    let numbers = |number: fn(&SourceRequestRecord) -> i64| -> Vec<i64> { requests.iter().map(number).collect() };
    let statuses: Vec<Option<i64>> = requests.iter().map(|request| request.status.map(i64::from)).collect();
    let details: Vec<Option<String>> =
        requests.iter().map(|request| Some(storable(request.detail.as_deref()?).into_owned())).collect();
    sqlx::query(sql::RECORD_REQUESTS)
        .bind(texts(|r| &r.id))
        .bind(texts(|r| r.feed.as_str()))
        .bind(texts(|r| &r.url))
        .bind(numbers(|r| r.at.0))
        .bind(statuses)
        .bind(numbers(|r| number(r.latency.as_micros())))
        .bind(numbers(|r| number(r.bytes)))
        .bind(texts(|r| &r.outcome))
        .bind(details)
        .bind(texts(|r| r.job.as_str()))
        .bind(numbers(|r| i64::from(r.attempt)))
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(failed(operation))
}

async fn list(
    operation: &'static str,
    connection: &mut PgConnection,
    feed: Option<&FeedName>,
    after: Option<&str>,
    limit: usize,
) -> Result<RequestPage, PortError> {
    let error = failed(operation);
    let after = after.map_or(END.into(), storable);
    let query = match feed {
        Some(feed) => sqlx::query(sql::REQUESTS_OF_FEED).bind(after).bind(number(limit)).bind(feed.as_str()),
        None => sqlx::query(sql::REQUESTS).bind(after).bind(number(limit)),
    };
    let rows = query.fetch_all(connection).await.map_err(&error)?;
    Ok(page(read(&rows).map_err(error)?, limit))
}

async fn of_job(
    operation: &'static str,
    connection: &mut PgConnection,
    job: &JobId,
) -> Result<Vec<SourceRequestRecord>, PortError> {
    let error = failed(operation);
    let query = sqlx::query(sql::REQUESTS_OF_JOB).bind(storable(job.as_str()));
    let rows = query.fetch_all(connection).await.map_err(&error)?;
    read(&rows).map_err(error)
}

async fn forget(
    operation: &'static str,
    connection: &mut PgConnection,
    before: Micros,
    limit: usize,
) -> Result<u64, PortError> {
    let query = sqlx::query(sql::FORGET_REQUESTS).bind(before.0).bind(number(limit));
    query.execute(connection).await.map(|done| done.rows_affected()).map_err(failed(operation))
}

fn read(rows: &[PgRow]) -> Result<Vec<SourceRequestRecord>, sqlx::Error> {
    rows.iter().map(request).collect()
}
