//! The log of requests to sources, in the ledger's file.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteLedger, statements as sql};
use crate::domain::{FeedName, JobId, Micros};
use crate::ledger::requests::{END, number, page, request, storable};
use crate::ports::{PortError, RequestLog, RequestPage, SourceRequestRecord};
use crate::sqlite::{failed, json_parameter};

#[async_trait]
impl RequestLog for SqliteLedger {
    async fn record(&self, requests: &[SourceRequestRecord]) -> Result<(), PortError> {
        if requests.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = requests
            .iter()
            .map(|r| {
                let texts = (storable(&r.id), r.feed.as_str(), storable(&r.url), storable(&r.outcome));
                let numbers = (r.at.0, r.status, number(r.latency.as_micros()), number(r.bytes), r.attempt);
                (texts, numbers, r.detail.as_deref().map(storable), storable(r.job.as_str()))
            })
            .collect();
        sqlx::query(sql::RECORD_REQUESTS)
            .bind(json_parameter(&rows))
            .execute(&self.file.writer)
            .await
            .map(|_| ())
            .map_err(failed("record a request to a source"))
    }

    async fn list(&self, feed: Option<&FeedName>, after: Option<&str>, limit: usize) -> Result<RequestPage, PortError> {
        let error = failed("list requests to sources");
        let after = after.map_or(END.into(), storable);
        let query = match feed {
            Some(feed) => sqlx::query(sql::REQUESTS_OF_FEED).bind(after).bind(number(limit)).bind(feed.as_str()),
            None => sqlx::query(sql::REQUESTS).bind(after).bind(number(limit)),
        };
        let rows = query.fetch_all(&self.file.readers).await.map_err(&error)?;
        Ok(page(read(&rows).map_err(error)?, limit))
    }

    async fn of_job(&self, job: &JobId) -> Result<Vec<SourceRequestRecord>, PortError> {
        let error = failed("list a job's requests to its source");
        let query = sqlx::query(sql::REQUESTS_OF_JOB).bind(storable(job.as_str()));
        let rows = query.fetch_all(&self.file.readers).await.map_err(&error)?;
        read(&rows).map_err(error)
    }

    async fn forget(&self, before: Micros, limit: usize) -> Result<u64, PortError> {
        sqlx::query(sql::FORGET_REQUESTS)
            .bind(before.0)
            .bind(number(limit))
            .execute(&self.file.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(failed("forget old requests to sources"))
    }
}

fn read(rows: &[SqliteRow]) -> Result<Vec<SourceRequestRecord>, sqlx::Error> {
    rows.iter().map(request).collect()
}
