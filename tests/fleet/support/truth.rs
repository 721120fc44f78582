//! What must be true in the end, counted in PostgreSQL, in Redis and at every API process.

use std::collections::HashMap;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::{Fleet, PREFIX, Sent};
use crate::support::eventually;

/// Looked up at once.
const LOOKED_UP: usize = 24;

impl Fleet {
    /// Waits until nothing is left to be done.
    pub(crate) async fn settled(&self) {
        eventually("an empty queue", || async { (self.depth().await == 0).then_some(()) }).await;
    }

    /// Jobs that are not done: queued, in hand, or waiting for their next try.
    pub(crate) async fn depth(&self) -> u64 {
        let (stream, delayed) = (queue_key("stream"), queue_key("delayed"));
        let mut redis = self.keys().await;
        let (queued, delayed): (u64, u64) =
            redis::pipe().xlen(stream).zcard(delayed).query_async(&mut redis).await.expect("counts");
        queued + delayed
    }

    /// Updates that were given up on.
    pub(crate) async fn dead(&self) -> Vec<String> {
        let mut redis = self.keys().await;
        redis::cmd("HKEYS").arg(queue_key("dead")).query_async(&mut redis).await.expect("ids")
    }

    /// Decided updates, as rows of the ledger; `None` when PostgreSQL does not answer.
    pub(crate) async fn decided(&self) -> Option<u64> {
        let mut ledger = PgConnection::connect(&self.database).await.ok()?;
        let row = sqlx::query("SELECT count(*) FROM updates").fetch_one(&mut ledger).await.ok()?;
        ledger.close().await.ok()?;
        u64::try_from(row.get::<i64, _>(0)).ok()
    }

    /// Asserts that everything that was sent, and nothing else, is applied exactly once and shown by every API process.
    pub(crate) async fn assert_exactly_once(&self, sent: &Sent) {
        self.settled().await;
        assert_eq!(self.dead().await, Vec::<String>::new(), "dead letters");
        self.assert_no_job_is_left().await;
        let ledger = self.ledger().await;
        let rows = sqlx::query("SELECT id, rejection FROM updates").fetch_all(&ledger).await.expect("updates");
        assert_eq!(rows.len(), sent.ids.len(), "updates in the ledger");
        let mut recorded: HashMap<String, Option<String>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for id in &sent.ids {
            assert_eq!(recorded.remove(id), Some(None), "update {id} is applied, once");
        }
        for (what, query) in [
            ("updates", "SELECT user_id, sum(amount)::bigint FROM updates WHERE rejection IS NULL GROUP BY user_id"),
            ("standings", "SELECT user_id, score FROM standings WHERE version > 0"),
        ] {
            let rows = sqlx::query(query).fetch_all(&ledger).await.expect("sums");
            let sums: HashMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(sums, sent.sums, "{what} in the ledger");
        }
        ledger.close().await;
        for api in 0..self.apis.len() {
            self.assert_board(api, &sent.sums).await;
        }
        self.assert_statuses(&sent.ids).await;
    }

    /// Asserts that an API process shows these scores, as soon as every decided update is published.
    pub(crate) async fn assert_board(&self, api: usize, sums: &HashMap<i64, i64>) {
        let shown = |rows: &[Value]| -> HashMap<i64, i64> {
            rows.iter().filter_map(|row| Some((row["userId"].as_i64()?, row["score"].as_i64()?))).collect()
        };
        eventually("the board to equal the ledger", || async {
            let answer = self.get(api, "/scores?limit=100").await;
            if answer.status() != StatusCode::OK || answer.headers().contains_key("scorewire-stale") {
                return None;
            }
            let rows: Vec<Value> = answer.json().await.ok()?;
            (shown(&rows) == *sums).then_some(())
        })
        .await;
    }

    async fn assert_statuses(&self, ids: &[String]) {
        let statuses = futures_util::stream::iter(ids.iter().enumerate()).map(|(n, id)| async move {
            let answer = self.get(n % self.apis.len(), &format!("/scores/updates/{id}")).await;
            let status: Value = answer.json().await.expect("JSON");
            assert_eq!(status["status"], "applied", "{status}");
        });
        statuses.buffer_unordered(LOOKED_UP).collect::<Vec<()>>().await;
    }

    async fn assert_no_job_is_left(&self) {
        let mut redis = self.keys().await;
        let pattern = format!("{{{PREFIX}q:scores}}:job:*");
        let left: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
        assert_eq!(left, Vec::<String>::new(), "every job's memory is returned");
    }
}

/// A key of the queue.
pub(crate) fn queue_key(name: &str) -> String {
    format!("{{{PREFIX}q:scores}}:{name}")
}
