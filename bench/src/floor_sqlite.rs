//! The floor of writes: SQLite and nothing else. No queue, no HTTP, no order of the board, no viewers.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

const SCHEMA: &str = "
CREATE TABLE updates (id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, amount INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE standings (user_id INTEGER PRIMARY KEY, score INTEGER NOT NULL) STRICT;";
const RECORD: &str = "
INSERT INTO updates (id, user_id, amount) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)";
const UPSERT: &str = "
INSERT INTO standings (user_id, score) SELECT value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
ON CONFLICT (user_id) DO UPDATE SET score = score + excluded.score";

/// A SQLite file that records updates and keeps scores.
pub(crate) struct BareSqlite {
    connection: SqliteConnection,
    recorded: usize,
}

impl BareSqlite {
    pub(crate) async fn create(dir: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(dir.join("floor.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
        Ok(Self { connection, recorded: 0 })
    }

    /// Records updates of `users` users in turn, a transaction for every `batch` of them; returns rows per second.
    pub(crate) async fn record(&mut self, updates: usize, batch: usize, users: usize) -> anyhow::Result<f64> {
        let began = Instant::now();
        let end = self.recorded + updates;
        let mut rows = String::new();
        while self.recorded < end {
            let count = batch.min(end - self.recorded);
            rows.clear();
            for n in self.recorded..self.recorded + count {
                let comma = if rows.is_empty() { '[' } else { ',' };
                write!(rows, "{comma}[\"{:026}.{}\",{},{}]", n / batch, n % batch, n % users, 1 + n % 100)?;
            }
            rows.push(']');
            self.recorded += count;
            // One statement a table and batch is faster than one a row through this driver.
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query(RECORD).bind(rows.as_str()).execute(&mut *transaction).await?;
            sqlx::query(UPSERT).bind(rows.as_str()).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(per_second(updates, began))
    }
}

/// How many a second since `began`.
pub(crate) fn per_second(count: usize, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let count = count as f64;
    count / began.elapsed().as_secs_f64()
}
