//! The schema and what uses it.

use futures_util::future::join_all;
use scorewire_core::ledger::postgres::SchemaError;
use scorewire_core::ledger::{PostgresLedger, PostgresOptions};
use scorewire_core::ports::{FailureKind, Ledger};

use crate::support::postgres::PrivatePostgres;
use crate::{Fixture, ledger, update};

#[tokio::test]
async fn every_statement_prepares() {
    let fixture = Fixture::new().await;
    fixture.ledger.prepare_all().await.expect("statements fit the schema");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_migrate_at_once() {
    let server = PrivatePostgres::shared().await;
    let url = server.fresh_database().await;
    for done in join_all((0..4).map(|_| PostgresLedger::migrate(&url))).await {
        done.expect("migrated");
    }
    ledger(&url, PostgresOptions::default()).check_schema().await.expect("the schema is there");
}

#[tokio::test]
async fn a_database_without_the_migrations_is_refused_in_plain_words() {
    let server = PrivatePostgres::shared().await;
    let ledger = ledger(&server.fresh_database().await, PostgresOptions::default());
    let error = ledger.check_schema().await.expect_err("nothing is there");
    assert!(error.to_string().contains("run `scorewire migrate`"), "{error}");
    // Nothing is wrong with the updates: they wait until the migrations have run.
    for error in [
        ledger.apply(&[update("a", 1, 1)]).await.expect_err("nothing is there"),
        ledger.probe().await.expect_err("nothing is there"),
    ] {
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert!(error.advice.is_some_and(|advice| advice.contains("run `scorewire migrate`")));
    }
}

#[tokio::test]
async fn another_schema_than_this_versions_is_refused() {
    let fixture = Fixture::new().await;
    fixture.ledger.check_schema().await.expect("the schema is there");
    // What is wrong with the first is said before what is missing.
    fixture.run("DELETE FROM scorewire_migrations WHERE version > 1").await;
    fixture.run("UPDATE scorewire_migrations SET success = false").await;
    assert!(matches!(fixture.ledger.check_schema().await, Err(SchemaError::Unfinished(1))));
    fixture.run("UPDATE scorewire_migrations SET success = true, checksum = 'other'").await;
    assert!(matches!(fixture.ledger.check_schema().await, Err(SchemaError::Differs(1))));
    fixture.run("UPDATE scorewire_migrations SET version = 9").await;
    let error = fixture.ledger.check_schema().await.expect_err("a newer version's");
    assert!(matches!(error, SchemaError::Newer(9)), "{error}");
    assert!(matches!(PostgresLedger::migrate(&fixture.url).await, Err(SchemaError::Newer(9))));
}

#[tokio::test]
async fn an_unreadable_url_is_refused_without_being_shown() {
    let options = PostgresOptions::default();
    let Err(error) = PostgresLedger::connect(
        "postgres://me:secret@host:port/x",
        options,
        std::sync::Arc::new(scorewire_core::ports::SystemClock),
    ) else {
        panic!("it was read");
    };
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(error.to_string().contains("postgres://user:password@host"), "{error}");
}
