//! The ledger's schema in PostgreSQL: bringing it up to date, and refusing to run on another one.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::{ConnectOptions, Connection, Row};

use super::statements as sql;

/// The schema is not the one this version works on; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The URL is no PostgreSQL URL.
    #[error("the database URL can not be read ({0}): it looks like postgres://user:password@host:5432/database")]
    Url(sqlx::Error),
    /// Some migrations were never run.
    #[error(
        "the database lacks {missing} of {known} migrations: run `scorewire migrate` of this version before starting it"
    )]
    Missing {
        /// How many were not run.
        missing: usize,
        /// How many this version has.
        known: usize,
    },
    /// Written by a newer Scorewire.
    #[error("the database has migration {0}, which this version does not know: run that version or a newer one")]
    Newer(i64),
    /// A migration that was run differs from the one of this version.
    #[error("migration {0} was run with another content than this version's: restore a backup or the matching version")]
    Differs(i64),
    /// A migration ended half-way.
    #[error("migration {0} did not end well: restore a backup, or finish it by hand")]
    Unfinished(i64),
    /// The database did not answer, or refused.
    #[error("could not reach or change the database's schema ({0}): check the URL, the network and the privileges")]
    Database(#[source] sqlx::Error),
    /// The migrator failed in another way.
    #[error("could not bring the database's schema up to date ({0})")]
    Migrator(#[source] MigrateError),
}

impl SchemaError {
    fn migrating(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::Database(error),
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => Self::Newer(version),
            MigrateError::VersionMismatch(version) => Self::Differs(version),
            MigrateError::Dirty(version) => Self::Unfinished(version),
            error => Self::Migrator(error),
        }
    }
}

/// Scorewire's migrations, recorded in a table of their own: the database may have other tenants.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    migrator.dangerous_set_table_name("scorewire_migrations");
    migrator
}

/// Brings the schema up to date. Several processes may try at once: the migrator holds an advisory lock of the
/// database while it works (`pg_advisory_lock`, on by default in sqlx), so one works and the others find it done.
///
/// # Errors
/// [`SchemaError`] says what is wrong and what to do.
pub(super) async fn migrate(options: &PgConnectOptions) -> Result<(), SchemaError> {
    // A connection of its own: after a failure its end frees the lock, and no time limit cuts a long migration.
    let mut connection = options.connect().await.map_err(SchemaError::Database)?;
    let done = migrator().run(&mut connection).await.map_err(SchemaError::migrating);
    // Whatever closing says, the outcome is known.
    let _ = connection.close().await;
    done
}

/// Fails unless exactly the migrations of this version were run.
///
/// # Errors
/// [`SchemaError`] says what is wrong and what to do.
pub(super) async fn check(pool: &PgPool) -> Result<(), SchemaError> {
    let migrator = migrator();
    let known = migrator.iter().count();
    let applied = match sqlx::query(sql::APPLIED_MIGRATIONS).fetch_all(pool).await {
        // undefined_table
        Err(error) if error.as_database_error().and_then(|e| e.code()).as_deref() == Some("42P01") => Vec::new(),
        rows => rows.map_err(SchemaError::Database)?,
    };
    for row in &applied {
        let (version, checksum, success) = migration(row).map_err(SchemaError::Database)?;
        let Some(ours) = migrator.iter().find(|m| m.version == version) else {
            return Err(SchemaError::Newer(version));
        };
        if !success {
            return Err(SchemaError::Unfinished(version));
        }
        if *ours.checksum != *checksum {
            return Err(SchemaError::Differs(version));
        }
    }
    if applied.len() < known {
        return Err(SchemaError::Missing { missing: known - applied.len(), known });
    }
    Ok(())
}

fn migration(row: &PgRow) -> Result<(i64, Vec<u8>, bool), sqlx::Error> {
    Ok((row.try_get("version")?, row.try_get("checksum")?, row.try_get("success")?))
}
