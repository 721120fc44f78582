//! Servers of the distributed deployment.

use scorewire_core::ledger::PostgresLedger;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::{Said, scorewire};
use crate::postgres_server::PrivatePostgres;
use crate::redis_server::PrivateRedis;

const SECRET: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// A port of this machine where nothing listens.
const NOBODY: &str = "127.0.0.1:1";

async fn doctor(redis: &str, postgres: &str, flags: &[&str]) -> Said {
    let dir = tempfile::tempdir().expect("a directory");
    let variables = [("REDIS_URL", redis), ("DATABASE_URL", postgres), ("JWT_SECRET", SECRET)];
    scorewire(dir.path(), &[&["doctor"], flags].concat(), &variables).await
}

/// A database with this version's schema.
async fn migrated(server: &PrivatePostgres) -> String {
    let url = server.fresh_database().await;
    PostgresLedger::migrate(&url).await.expect("a schema");
    url
}

#[tokio::test]
async fn safe_servers_are_found_to_be_safe() {
    let (redis, postgres) = (PrivateRedis::start(), PrivatePostgres::shared().await);
    let database = migrated(&postgres).await;
    let said = doctor(&redis.url(), &database, &[]).await;
    said.is(0, &[("redis appendonly", "ok"), ("redis appendfsync", "ok"), ("postgres fsync", "ok")]);
    assert!(said.text.contains(" 0 risk, 0 danger, 0 unknown"), "{}", said.text);

    let json = doctor(&redis.url(), &database, &["--json"]).await.json();
    assert_eq!(json["worst"], "ok");
    let findings = json["findings"].as_array().expect("a list");
    let schema = findings.iter().find(|finding| finding["check"] == "postgres schema").expect("a finding");
    assert_eq!((&schema["level"], &schema["found"]), (&"ok".into(), &"up to date".into()));
    assert!(schema["advice"].is_null());
}

#[tokio::test]
async fn a_redis_that_forgets_or_evicts_is_dangerous() {
    let postgres = PrivatePostgres::shared().await;
    let database = migrated(&postgres).await;
    let options = ["--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let redis = PrivateRedis::start_with(&options);
    let said = doctor(&redis.url(), &database, &[]).await;
    said.is(1, &[("redis appendonly", "danger"), ("redis maxmemory-policy", "danger"), ("postgres fsync", "ok")]);
    assert!(said.text.contains("What to do: appendonly yes"), "{}", said.text);

    let json = doctor(&redis.url(), &database, &["--json"]).await;
    assert_eq!((json.status, &json.json()["worst"]), (1, &"danger".into()));
}

#[tokio::test]
async fn a_redis_that_keeps_its_settings_to_itself_is_judged_by_info() {
    let postgres = PrivatePostgres::shared().await;
    let database = migrated(&postgres).await;
    let safe = PrivateRedis::start_with(&["--rename-command", "CONFIG", ""]);
    let said = doctor(&safe.url(), &database, &[]).await;
    said.is(0, &[("redis CONFIG GET", "risk"), ("redis appendonly", "ok"), ("redis appendfsync", "risk")]);

    let unsafe_one = PrivateRedis::start_with(&["--rename-command", "CONFIG", "", "--appendonly", "no"]);
    let said = doctor(&unsafe_one.url(), &database, &[]).await;
    said.is(1, &[("redis CONFIG GET", "risk"), ("redis appendonly", "danger")]);
}

#[tokio::test]
async fn a_replica_is_dangerous_and_flushing_every_second_a_risk() {
    let postgres = PrivatePostgres::shared().await;
    let database = migrated(&postgres).await;
    let primary = PrivateRedis::start_with(&["--appendfsync", "everysec"]);
    doctor(&primary.url(), &database, &[]).await.is(0, &[("redis appendfsync", "risk"), ("redis role", "ok")]);

    let port = primary.port.to_string();
    let replica = PrivateRedis::start_with(&["--replicaof", "127.0.0.1", &port]);
    doctor(&replica.url(), &database, &[]).await.is(1, &[("redis role", "danger")]);
}

#[tokio::test]
async fn a_redis_shared_with_others_is_a_risk() {
    let postgres = PrivatePostgres::shared().await;
    let database = migrated(&postgres).await;
    let redis = PrivateRedis::start();
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
    redis::cmd("SET").arg("session:1").arg("x").query_async::<()>(&mut connection).await.expect("a key");
    redis::cmd("SET").arg("{sw:q:scores}:key:1").arg("x").query_async::<()>(&mut connection).await.expect("a key");
    let said = doctor(&redis.url(), &database, &[]).await;
    said.is(0, &[("redis neighbours", "risk")]);
    assert!(said.text.contains("1 of 2 keys"), "{}", said.text);
}

#[tokio::test]
async fn a_postgres_that_does_not_flush_is_dangerous() {
    let redis = PrivateRedis::start();
    let postgres = PrivatePostgres::start_with(&["-c", "fsync=off", "-c", "full_page_writes=off"]).await;
    let said = doctor(&redis.url(), &migrated(&postgres).await, &[]).await;
    said.is(
        1,
        &[
            ("postgres fsync", "danger"),
            ("postgres full_page_writes", "danger"),
            ("postgres synchronous_commit", "ok"),
            ("redis appendonly", "ok"),
        ],
    );
}

#[tokio::test]
async fn a_role_that_does_not_wait_for_its_commits_is_dangerous() {
    let redis = PrivateRedis::start();
    let postgres = PrivatePostgres::shared().await;
    let database = migrated(&postgres).await;
    let mut connection = PgConnection::connect(&database).await.expect("it answers");
    connection.execute("CREATE ROLE hasty LOGIN").await.expect("a role");
    connection.execute("GRANT SELECT ON scorewire_migrations TO hasty").await.expect("a privilege");
    connection.execute("ALTER ROLE hasty SET synchronous_commit = off").await.expect("a setting");
    doctor(&redis.url(), &database, &[]).await.is(0, &[("postgres synchronous_commit", "ok")]);
    let hasty = database.replace("scorewire@", "hasty@");
    doctor(&redis.url(), &hasty, &[]).await.is(1, &[("postgres synchronous_commit", "danger")]);
}

#[tokio::test]
async fn a_database_without_the_schema_is_told_how_to_get_it() {
    let redis = PrivateRedis::start();
    let postgres = PrivatePostgres::shared().await;
    let said = doctor(&redis.url(), &postgres.fresh_database().await, &[]).await;
    said.is(0, &[("postgres schema", "risk")]);
    assert!(said.text.contains("scorewire migrate"), "{}", said.text);
}

#[tokio::test]
async fn servers_that_do_not_answer_are_unknown_and_their_passwords_stay_secret() {
    let redis = format!("redis://:hunter2hunter2@{NOBODY}");
    let postgres = format!("postgres://scorewire:hunter2hunter2@{NOBODY}/scorewire");
    for flags in [&[][..], &["--json"]] {
        let said = doctor(&redis, &postgres, flags).await;
        assert_eq!(said.status, 2, "{}", said.text);
        assert!(said.text.contains("check REDIS_URL") && said.text.contains("check DATABASE_URL"), "{}", said.text);
        assert!(!said.text.contains("hunter2"), "{}", said.text);
    }
    let said = doctor("redis:/nonsense", "postgres//nonsense", &[]).await;
    assert_eq!(said.status, 2, "{}", said.text);
}

#[tokio::test]
async fn settings_that_can_not_be_read_are_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let said = scorewire(dir.path(), &["doctor"], &[("SCOREWIRE_QUEUE_LIMIT", "many")]).await;
    assert_eq!(said.status, 2, "{}", said.text);
}
