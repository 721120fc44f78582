//! The ledger in a PostgreSQL database that several processes may share.
//!
//! Every transaction is READ COMMITTED and takes row locks in one order: what it is about to change is locked before
//! it is read. Durability is the database's: leave its `fsync` and `synchronous_commit` on.

mod apply;
mod error;
mod records;
mod requests;
mod roster;
mod rows;
mod schema;
pub mod statements;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::{error::Elapsed, timeout};

pub use self::schema::SchemaError;

use self::error::{failed, no_answer};
use self::statements as sql;
use crate::domain::{BoardId, Micros, NamedStanding, ScoreUpdate, UpdateId, User, UserId};
use crate::ports::{AppliedBatch, Clock, Ledger, NewUser, PortError, Roster, Unexplained, UpdateRecord, UserCreation};

/// What a whole operation may take beyond one statement's time limit before its connection is given up.
const GRACE: Duration = Duration::from_secs(5);

/// How long closing waits for operations under way.
const CLOSING: Duration = Duration::from_secs(2);

/// How a [`PostgresLedger`] uses its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// How many connections it opens at most.
    pub max_connections: u32,
    /// How long an operation waits for a connection, the time to open one included.
    pub acquire_timeout: Duration,
    /// How long one statement may run, waiting for locks included; also how long a transaction may stand still, so
    /// that a process that was stopped half-way does not hold its locks for ever.
    pub statement_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { max_connections: 8, acquire_timeout: Duration::from_secs(5), statement_timeout: Duration::from_secs(30) }
    }
}

/// The ledger in a PostgreSQL database.
pub struct PostgresLedger {
    pool: PgPool,
    patience: Duration,
    clock: Arc<dyn Clock>,
}

impl PostgresLedger {
    /// Prepares to use a database; connects with the first operation, and again whenever the connection is lost.
    /// Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`SchemaError::Url`] when the URL can not be read.
    pub fn connect(url: &str, options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, SchemaError> {
        let limit = options.statement_timeout.as_millis().to_string();
        let connect = connect_options(url)?.options([
            ("statement_timeout", limit.as_str()),
            ("idle_in_transaction_session_timeout", limit.as_str()),
            // A plan that was made while a table was small reads all of it for ever after: plan each time.
            ("plan_cache_mode", "force_custom_plan"),
            // All access is by key, some hundred rows at a time: half-way to a large table the planner would still
            // rather read all of it with each batch.
            ("enable_seqscan", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect);
        Ok(Self { pool, patience: options.statement_timeout + GRACE, clock })
    }

    /// Brings the schema of a database up to date. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`SchemaError`] says what is wrong with the database and what to do.
    pub async fn migrate(url: &str) -> Result<(), SchemaError> {
        schema::migrate(&connect_options(url)?).await
    }

    /// Fails unless the database's schema is the one of this version.
    ///
    /// # Errors
    /// [`SchemaError`] says what is wrong with the database and what to do.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(&self.pool).await
    }

    /// Closes all connections. One that waits for an answer is not waited for long: the database undoes what was not
    /// committed, and whoever asked asks again.
    pub async fn close(&self) {
        if timeout(CLOSING, self.pool.close()).await.is_err() {
            tracing::warn!("a connection to the database is left in the middle of an operation");
        }
    }

    /// Prepares every statement, and says which one failed.
    ///
    /// # Errors
    /// The statement's text with the database's error.
    pub async fn prepare_all(&self) -> Result<(), String> {
        use sqlx::{Executor, SqlSafeStr};
        for statement in sql::ALL {
            self.pool.prepare(statement.into_sql_str()).await.map_err(|e| format!("{statement}: {e}"))?;
        }
        Ok(())
    }

    async fn acquire(&self, operation: &'static str) -> Result<PoolConnection<Postgres>, PortError> {
        self.pool.acquire().await.map_err(failed(operation))
    }

    /// Waits for work on a connection, but not for ever: a machine that vanished never answers and never refuses.
    async fn patiently<T>(&self, work: impl Future<Output = Result<T, PortError>> + Send) -> Waited<T> {
        timeout(self.patience, work).await
    }
}

/// What an operation said, if anything.
type Waited<T> = Result<Result<T, PortError>, Elapsed>;

/// The result of an operation. A connection that gave no answer is closed: the pool would wait for one before lending
/// it again.
fn settle<T>(
    operation: &'static str,
    mut connection: PoolConnection<Postgres>,
    waited: Waited<T>,
) -> Result<T, PortError> {
    waited.unwrap_or_else(|_| {
        connection.close_on_drop();
        Err(no_answer(operation))
    })
}

fn connect_options(url: &str) -> Result<PgConnectOptions, SchemaError> {
    Ok(url.parse::<PgConnectOptions>().map_err(SchemaError::Url)?.application_name("scorewire"))
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn apply(&self, updates: &[ScoreUpdate]) -> Result<AppliedBatch, PortError> {
        let mut connection = self.acquire(apply::OPERATION).await?;
        let waited = self.patiently(apply::apply(&mut connection, updates, self.clock.now())).await;
        settle(apply::OPERATION, connection, waited)
    }

    async fn find_update(&self, id: &UpdateId) -> Result<Option<UpdateRecord>, PortError> {
        const OPERATION: &str = "look up an update";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(records::find_update(OPERATION, &mut connection, id)).await;
        settle(OPERATION, connection, waited)
    }

    async fn standings(
        &self,
        board: &BoardId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<NamedStanding>, PortError> {
        const OPERATION: &str = "read standings";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(records::standings(OPERATION, &mut connection, board, after, limit)).await;
        settle(OPERATION, connection, waited)
    }

    async fn unexplained(&self, board: &BoardId) -> Result<Vec<Unexplained>, PortError> {
        // As long as it takes: this reads all of the ledger.
        let mut connection = self.acquire(records::ADD_UP).await?;
        records::unexplained(&mut connection, board).await
    }

    async fn forget_updates(&self, before: Micros, limit: usize) -> Result<u64, PortError> {
        const OPERATION: &str = "forget old updates";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(records::forget_updates(OPERATION, &mut connection, before, limit)).await;
        settle(OPERATION, connection, waited)
    }

    async fn probe(&self) -> Result<(), PortError> {
        const OPERATION: &str = "reach the ledger";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(records::probe(OPERATION, &mut connection)).await;
        settle(OPERATION, connection, waited)
    }
}

#[async_trait]
impl Roster for PostgresLedger {
    async fn create_user(&self, user: &NewUser, now: Micros) -> Result<UserCreation, PortError> {
        const OPERATION: &str = "create a user";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(roster::create_user(OPERATION, &mut connection, user, now)).await;
        settle(OPERATION, connection, waited)
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>, PortError> {
        const OPERATION: &str = "look up a user";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(roster::find_user(OPERATION, &mut connection, id)).await;
        settle(OPERATION, connection, waited)
    }

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, PortError> {
        const OPERATION: &str = "list users";
        let mut connection = self.acquire(OPERATION).await?;
        let waited = self.patiently(roster::users(OPERATION, &mut connection, after, limit)).await;
        settle(OPERATION, connection, waited)
    }
}
