//! Asks PostgreSQL how it is set, in a session made with the URL: roles and databases have settings of their own.

mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::{Finding, PATIENCE, is_this_machine};
use crate::ledger::postgres::{PostgresLedger, PostgresOptions, SchemaError};
use crate::ports::SystemClock;

/// The session's settings that matter here.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', \
    'synchronous_commit', 'synchronous_standby_names', 'zero_damaged_pages', 'default_transaction_isolation', \
    'default_transaction_read_only', 'max_connections', 'superuser_reserved_connections', 'server_version', \
    'server_version_num')";
const IS_STANDBY: &str = "SELECT pg_is_in_recovery()";
const IS_ENCRYPTED: &str = "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";
const STANDBYS: &str = "SELECT count(*) FROM pg_stat_replication";
const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";

/// What a server said of itself.
#[derive(Debug, Default)]
struct Facts {
    /// `host:port/database`.
    address: String,
    /// Reached over a network.
    remote: bool,
    encrypted: bool,
    settings: BTreeMap<String, String>,
    standby: bool,
    /// Standbys that copy it now.
    standbys: i64,
    /// Connections open now, this one included.
    connections: i64,
    /// Connections one of our processes opens at most.
    pool: u32,
    /// What is wrong with the schema.
    schema: Option<SchemaError>,
}

/// Asks the server and judges it; `pool` is how many connections one of our processes opens at most.
pub(super) async fn examine(url: &str, pool: u32) -> Vec<Finding> {
    let refused = |address: &str, error: &str| {
        vec![Finding::unknown(
            "postgres",
            format!("{address} could not be asked: {error}"),
            "Whether the ledger survives a crash is not known.",
            "check DATABASE_URL, that the server runs, and the network between",
        )]
    };
    let options = match url.parse::<PgConnectOptions>() {
        Ok(options) => options.application_name("scorewire-doctor"),
        Err(error) => return refused("the server of DATABASE_URL", &error.to_string()),
    };
    let socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    let remote = !socket && !is_this_machine(options.get_host());
    let database = options.get_database().unwrap_or("the role's own database");
    let address = format!("{}:{}/{database}", options.get_host(), options.get_port());
    match timeout(PATIENCE * 2, ask(&options)).await {
        Ok(Ok(facts)) => {
            let schema = schema(url).await;
            judge::judge(&Facts { address, remote, pool, schema, ..facts })
        }
        Ok(Err(error)) => refused(&address, &error.to_string()),
        Err(_) => refused(&address, "no answer in time"),
    }
}

async fn ask(options: &PgConnectOptions) -> Result<Facts, sqlx::Error> {
    let mut connection = options.connect().await?;
    let facts = facts(&mut connection).await?;
    // Whatever closing says, the facts are known.
    let _ = connection.close().await;
    Ok(facts)
}

async fn facts(connection: &mut PgConnection) -> Result<Facts, sqlx::Error> {
    let settings: Vec<(String, String)> = sqlx::query_as(SETTINGS).fetch_all(&mut *connection).await?;
    Ok(Facts {
        encrypted: sqlx::query_scalar(IS_ENCRYPTED).fetch_one(&mut *connection).await?,
        settings: settings.into_iter().collect(),
        standby: sqlx::query_scalar(IS_STANDBY).fetch_one(&mut *connection).await?,
        standbys: sqlx::query_scalar(STANDBYS).fetch_one(&mut *connection).await?,
        connections: sqlx::query_scalar(CONNECTIONS).fetch_one(&mut *connection).await?,
        ..Facts::default()
    })
}

async fn schema(url: &str) -> Option<SchemaError> {
    let options = PostgresOptions { max_connections: 1, acquire_timeout: PATIENCE, statement_timeout: PATIENCE };
    match PostgresLedger::connect(url, options, Arc::new(SystemClock)) {
        Ok(ledger) => {
            let checked = ledger.check_schema().await;
            ledger.close().await;
            checked.err()
        }
        Err(error) => Some(error),
    }
}
