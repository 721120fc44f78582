//! What every SQLite file here has in common: how it is opened, and how its errors read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, SqlSafeStr};

use crate::ports::{FailureKind, PortError};

/// Readers beside the one writer.
const READERS: u32 = 4;

/// A SQLite file: one connection that writes, so that no write ever waits for a lock, and some that read.
#[derive(Clone, Debug)]
pub(crate) struct SqliteFile {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

/// A file could not be opened; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a SQLite file, or damaged.
    #[error(
        "{path} is damaged or not a SQLite database ({source}): restore it from a backup, or move it away to start with an empty one"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Written by a newer Scorewire.
    #[error("{path} was written by a newer version of scorewire ({source}): run that version or a newer one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// What the migrator said.
        source: MigrateError,
    },
    /// Anything else: no space, no permission.
    #[error("could not open {path} ({source}): check free space and permissions of its directory")]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    fn new(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match kind(&error) {
            FailureKind::Corrupt => Self::Corrupt { path, source: error.into() },
            _ => Self::Io { path, source: error.into() },
        }
    }

    /// What is there can not be read.
    pub(crate) fn reading(path: &Path, error: sqlx::Error) -> Self {
        Self::new(path, error)
    }

    fn migrating(path: &Path, error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::new(path, error),
            error @ (MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => {
                Self::Newer { path: path.to_owned(), source: error }
            }
            error => Self::Corrupt { path: path.to_owned(), source: error.into() },
        }
    }
}

impl SqliteFile {
    /// Opens or creates a file and brings its schema up to date.
    pub(crate) async fn open(
        path: &Path,
        synchronous: SqliteSynchronous,
        migrators: &[Migrator],
    ) -> Result<Self, OpenError> {
        let options = connect_options(path, synchronous).create_if_missing(true);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // On a full disk SQLite rolls back by itself, and the pool's connection, which does not notice, would
            // refuse every later transaction. (Each acquire pings first, after any rollback under way.)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await
            .map_err(|e| OpenError::new(path, e))?;
        for migrator in migrators {
            migrator.run(&writer).await.map_err(|e| OpenError::migrating(path, e))?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { writer, readers })
    }

    /// Prepares statements on the real schema, and says which one failed.
    pub(crate) async fn prepare_all(&self, statements: &[&'static str]) -> Result<(), String> {
        for statement in statements {
            self.writer.prepare(statement.into_sql_str()).await.map_err(|e| format!("{statement}: {e}"))?;
        }
        Ok(())
    }

    /// Closes all connections; the write-ahead log is folded into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// How every connection to a file is set.
fn connect_options(path: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-4000")
        .pragma("journal_size_limit", "67108864")
}

/// What a connection says of its durability.
#[derive(Debug)]
pub(crate) struct Durability {
    /// As SQLite names it: `wal`.
    pub(crate) journal_mode: String,
    /// 0 off, 1 normal, 2 full.
    pub(crate) synchronous: i64,
}

/// Opens a file as its readers do, changes nothing, and asks what it got.
pub(crate) async fn durability(path: &Path, synchronous: SqliteSynchronous) -> Result<Durability, OpenError> {
    let failed = |error| OpenError::new(path, error);
    let mut connection = connect_options(path, synchronous).read_only(true).connect().await.map_err(failed)?;
    let journal_mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.map_err(failed)?;
    let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await.map_err(failed)?;
    // Whatever closing says, the answer is known.
    let _ = connection.close().await;
    Ok(Durability { journal_mode, synchronous })
}

/// A batch as one JSON parameter, for `json_each` to open.
pub(crate) fn json_parameter(rows: &impl serde::Serialize) -> String {
    // Plain structs of strings and numbers always serialise.
    serde_json::to_string(rows).unwrap_or_else(|e| unreachable!("rows serialise: {e}"))
}

/// Turns a database error into a port error of the right kind.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> PortError {
    move |error| {
        let advice = match primary_code(&error) {
            // BUSY
            Some(5) => Some("another program holds the database file"),
            // IOERR
            Some(10) => Some("the disk refuses to read or write: it may be full or failing"),
            // FULL
            Some(13) => Some("the disk is full: free some space"),
            _ => None,
        };
        PortError::new(operation, kind(&error), error).with_advice(advice)
    }
}

/// SQLite's primary result code: <https://www.sqlite.org/rescode.html>.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(code & 0xff)
}

fn kind(error: &sqlx::Error) -> FailureKind {
    match (primary_code(error), error) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        (Some(5..=10 | 13..=15), _) => FailureKind::Unavailable,
        // CORRUPT, NOTADB
        (Some(11 | 26), _)
        | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)) => {
            FailureKind::Corrupt
        }
        (Some(_), _) => FailureKind::Rejected,
        (None, _) => FailureKind::Unavailable,
    }
}
