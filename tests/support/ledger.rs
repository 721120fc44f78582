//! A hand on a server's ledger, behind its back, to hold it.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::deployment::Storage;

/// A connection of one's own to a server's ledger.
pub(crate) enum LedgerConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl LedgerConnection {
    pub(crate) async fn to(storage: &Storage) -> Self {
        match storage.database() {
            None => {
                let file = SqliteConnectOptions::new().filename(storage.dir.path().join("data/ledger.db"));
                Self::Sqlite(file.connect().await.expect("the ledger's file"))
            }
            Some(url) => {
                let options: PgConnectOptions = url.parse().expect("a URL");
                Self::Postgres(options.connect().await.expect("the ledger's database"))
            }
        }
    }

    /// Keeps everybody from writing, but not from reading, until this is closed.
    pub(crate) async fn hold(mut self) -> Self {
        match &mut self {
            Self::Sqlite(_) => self.run("BEGIN EXCLUSIVE").await,
            Self::Postgres(_) => self.run("BEGIN; LOCK TABLE standings, updates IN EXCLUSIVE MODE").await,
        }
        self
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
        .expect("the connection ends");
    }

    async fn run(&mut self, statements: &'static str) {
        let done = match self {
            Self::Sqlite(connection) => sqlx::raw_sql(statements).execute(connection).await.map(|_| ()),
            Self::Postgres(connection) => sqlx::raw_sql(statements).execute(connection).await.map(|_| ()),
        };
        done.expect("the statements run");
    }
}
