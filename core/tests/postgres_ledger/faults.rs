//! A database that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use scorewire_core::domain::BoardId;
use scorewire_core::ledger::{PostgresLedger, PostgresOptions};
use scorewire_core::ports::{FailureKind, Ledger, SystemClock};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::postgres::PrivatePostgres;
use crate::{DEADLINE, Fixture, ledger, update};

const BATCHES: i64 = 200;

/// What a worker went through so far.
#[derive(Clone, Copy, Default)]
struct Progress {
    applied: i64,
    unavailable: i64,
}

/// Applies batches one after the other, each until the ledger says that it is applied.
async fn work(ledger: Arc<PostgresLedger>, worker: i64, progress: watch::Sender<Progress>) {
    for round in 0..BATCHES {
        let batch: Vec<_> = (1..=5).map(|user| update(&format!("{worker}-{round}-{user}"), user, 1)).collect();
        while let Err(error) = ledger.apply(&batch).await {
            assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
            progress.send_modify(|p| p.unavailable += 1);
        }
        progress.send_modify(|p| p.applied += 1);
    }
}

async fn until(progress: &mut watch::Receiver<Progress>, reached: impl FnMut(&Progress) -> bool) {
    timeout(DEADLINE, progress.wait_for(reached)).await.expect("in time").expect("a worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_unavailable_and_nothing_is_lost_or_doubled() {
    let server = Arc::new(PrivatePostgres::start().await);
    let fixture = Fixture::on(
        Arc::clone(&server),
        PostgresOptions { acquire_timeout: Duration::from_millis(300), ..PostgresOptions::default() },
    )
    .await;
    for id in 1..=5 {
        fixture.create(Some(id), "somebody").await;
    }
    let (told, mut progress) = watch::channel(Progress::default());
    let workers: Vec<_> =
        (0..3).map(|worker| tokio::spawn(work(Arc::clone(&fixture.ledger), worker, told.clone()))).collect();
    for kill in 1..=2 {
        until(&mut progress, |p| p.applied >= kill * BATCHES / 2).await;
        server.kill();
        let before = progress.borrow().unavailable;
        until(&mut progress, |p| p.unavailable > before).await;
        let down = fixture.ledger.probe().await.expect_err("it is down");
        assert_eq!(down.kind, FailureKind::Unavailable);
        server.start_again().await;
    }
    for worker in workers {
        timeout(DEADLINE, worker).await.expect("in time").expect("a worker");
    }
    fixture.ledger.probe().await.expect("it is back");
    let version = 1 + 3 * BATCHES;
    let expected: Vec<_> = (1..=5).map(|user| (user, 3 * BATCHES, version)).collect();
    assert_eq!(fixture.scores(&BoardId::main()).await, expected);
}

#[tokio::test]
async fn a_connection_that_an_administrator_ended_is_replaced() {
    let fixture = Fixture::with_users(1).await;
    fixture.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()").await;
    assert_eq!(fixture.ledger.apply(&[update("a", 1, 5)]).await.expect("applied").applied, 1);
}

#[tokio::test]
async fn a_database_that_takes_no_writes_fails_the_probe() {
    let fixture = Fixture::with_users(1).await;
    fixture.ledger.probe().await.expect("it takes writes");
    fixture.run("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$").await;
    let reader = ledger(&fixture.url, PostgresOptions::default());
    for error in
        [reader.probe().await.expect_err("read-only"), reader.apply(&[update("a", 1, 5)]).await.expect_err("read-only")]
    {
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert!(error.advice.is_some_and(|advice| advice.contains("primary")), "{error}");
    }
    reader.close().await;
}

#[tokio::test]
async fn probes_do_not_wait_for_workers() {
    let fixture = Fixture::with_users(1).await;
    let mut other = fixture.connection().await;
    let mut held = sqlx::Connection::begin(&mut other).await.expect("a transaction");
    sqlx::Executor::execute(&mut *held, "SELECT * FROM boards FOR UPDATE").await.expect("a lock");
    timeout(DEADLINE, fixture.ledger.probe()).await.expect("in time").expect("it takes writes");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable() {
    let fixture = Fixture::new().await;
    let options = PostgresOptions { acquire_timeout: Duration::from_millis(200), ..PostgresOptions::default() };
    for url in [format!("{}_nowhere", fixture.url), "postgres://me@127.0.0.1:1/x".to_owned()] {
        let ledger = PostgresLedger::connect(&url, options, Arc::new(SystemClock)).expect("a URL");
        let error = ledger.apply(&[update("a", 1, 5)]).await.expect_err("nothing is there");
        assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
        assert!(ledger.check_schema().await.is_err());
    }
}
