//! The PostgreSQL ledger against a real server.

#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it expects")]

mod applying;
mod concurrency;
mod faults;
mod roster;
mod schema;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use scorewire_core::domain::{
    BoardId, Micros, Operator, RequestId, ScoreUpdate, Standing, Subject, UpdateId, UserId, UserName,
};
use scorewire_core::ledger::{PostgresLedger, PostgresOptions};
use scorewire_core::ports::{Ledger, NewUser, Roster, SystemClock, UserCreation};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use self::support::postgres::PrivatePostgres;

/// How long anything may take before a test gives up on it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A ledger on a database of its own.
struct Fixture {
    ledger: Arc<PostgresLedger>,
    url: String,
    /// Keeps the server running.
    _server: Arc<PrivatePostgres>,
}

impl Fixture {
    async fn new() -> Self {
        Self::on(PrivatePostgres::shared().await, PostgresOptions::default()).await
    }

    async fn on(server: Arc<PrivatePostgres>, options: PostgresOptions) -> Self {
        let url = server.fresh_database().await;
        PostgresLedger::migrate(&url).await.expect("the migrations run");
        Self { ledger: Arc::new(ledger(&url, options)), url, _server: server }
    }

    /// With users 1 to `users` on board `main`.
    async fn with_users(users: i64) -> Self {
        let fixture = Self::new().await;
        for id in 1..=users {
            fixture.create(Some(id), "somebody").await;
        }
        fixture
    }

    async fn create(&self, id: Option<i64>, name: &str) -> UserCreation {
        let user = NewUser { id: id.map(user), name: UserName::parse(name).expect("a name") };
        self.ledger.create_user(&user, Micros(7)).await.expect("it answers")
    }

    /// Runs SQL behind the ledger's back.
    async fn run(&self, statement: &str) {
        let mut connection = self.connection().await;
        connection.execute(AssertSqlSafe(statement.to_owned())).await.expect(statement);
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the server answers")
    }

    /// Waits until a statement waits for a lock.
    async fn until_somebody_waits(&self) {
        let mut connection = self.connection().await;
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        let waiting = "SELECT EXISTS (
            SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
        tokio::time::timeout(DEADLINE, async {
            loop {
                beat.tick().await;
                if sqlx::query_scalar(waiting).fetch_one(&mut connection).await.expect("an answer") {
                    return;
                }
            }
        })
        .await
        .expect("somebody waits");
    }

    /// Score and version of each user of a board, by user id.
    async fn scores(&self, board: &BoardId) -> Vec<(i64, i64, i64)> {
        let standings = self.ledger.standings(board, None, 1_000).await.expect("it answers");
        standings.iter().map(|s| brief(&s.standing)).collect()
    }
}

fn ledger(url: &str, options: PostgresOptions) -> PostgresLedger {
    PostgresLedger::connect(url, options, Arc::new(SystemClock)).expect("a URL")
}

fn user(id: i64) -> UserId {
    UserId::parse(id).expect("a user id")
}

/// An increment on board `main`, accepted at 1000.
fn update(id: &str, user_id: i64, amount: i64) -> ScoreUpdate {
    ScoreUpdate {
        id: UpdateId::new(id),
        board: BoardId::main(),
        user: user(user_id),
        operator: Operator::Increment(amount),
        accepted_at: Micros(1_000),
        submitter: Subject::new("tester"),
        request: RequestId::new("request"),
        reply_to: None,
        attempt: 1,
    }
}

/// (user, score, version)
fn brief(standing: &Standing) -> (i64, i64, i64) {
    (standing.user.get(), standing.score, standing.version)
}
