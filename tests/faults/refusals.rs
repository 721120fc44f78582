//! A server that can not start says what is wrong and what to do.

use std::path::Path;

use tokio::process::Command;

use crate::support::{ServerProcess, command};

async fn refusal(command: Command) -> String {
    match ServerProcess::try_start(command).await {
        Ok(server) => panic!("it started at {}", server.url),
        Err(said) => said,
    }
}

fn damage(dir: &Path, file: &str, content: &[u8]) {
    std::fs::create_dir_all(dir).expect("a directory");
    std::fs::write(dir.join(file), content).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_is_named_with_its_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = ServerProcess::start(dir.path(), &[]).await;
    let said = refusal(command(dir.path(), &[])).await;
    assert!(said.contains("in use by another scorewire (process "), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
    first.terminate().await;
    ServerProcess::start(dir.path(), &[]).await.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_file_is_named() {
    for file in ["ledger.db", "queue.db", "feeds.db"] {
        let dir = tempfile::tempdir().expect("a directory");
        damage(dir.path(), file, &[b'x'; 4_096]);
        let said = refusal(command(dir.path(), &[])).await;
        assert!(said.contains(file) && said.contains("damaged or not a SQLite database"), "{said}");
        assert!(said.contains("restore it from a backup"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_damaged_after_use_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    ServerProcess::start(dir.path(), &["--sample"]).await.terminate().await;
    let path = dir.path().join("ledger.db");
    let mut bytes = std::fs::read(&path).expect("a file");
    let half = bytes.len() / 2;
    bytes[100..half].fill(0xA5);
    std::fs::write(&path, bytes).expect("a file");
    let said = refusal(command(dir.path(), &[])).await;
    assert!(said.contains("ledger.db"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.args(["serve", "--listen", &address, "--data-dir"]).arg(dir.path());
    let said = refusal(command).await;
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_can_not_work_are_refused_with_advice() {
    for (arguments, advice) in [
        (&["--jwt-secret", "short"][..], "at least 32"),
        (&["--role", "worker"], "set REDIS_URL"),
        (&["--database-url", "postgres://user:hunter2@db/scores"], "DATABASE_URL"),
        (&["--redis-url", "redis://localhost"], "REDIS_URL is set and DATABASE_URL is not"),
        (
            &["--redis-url", "redis-cluster://a,b", "--database-url", "postgres://db/s"],
            "REDIS_URL is set to redis-cluster",
        ),
        (&["--redis-url", "redis://localhost", "--database-url", "mysql://db/s"], "DATABASE_URL is set to mysql"),
        (&["--redis-url", "redis://localhost", "--database-url", "hunter2"], "DATABASE_URL is set to something that"),
        (&["--retention", "1h"], "24 hours"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let said = refusal(command(dir.path(), arguments)).await;
        assert!(said.contains(advice), "{arguments:?}: {said}");
        assert!(!said.contains("hunter2"), "a password was printed");
    }
}
