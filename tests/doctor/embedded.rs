//! The embedded deployment's files, and the server's own warnings and probe.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::scorewire;
use crate::support::{Storage, TestApp, command, within};

/// On the disk that builds lie on: the system's temporary directory may be memory, which is a danger.
fn disk() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_safe_and_stays_away() {
    let dir = disk();
    let said = scorewire(dir.path(), &["doctor"], &[]).await;
    said.is(0, &[("deployment", "ok"), ("data_dir", "ok"), ("jwt_secret", "ok")]);
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "the doctor leaves nothing behind");
}

#[tokio::test]
async fn files_are_examined_beside_a_running_server_and_without_one() {
    let app = TestApp::on(Storage::in_dir(disk()), |_| {}).await;
    app.add_user(1).await;
    app.decided(1, 10).await;
    let data = app.data_dir();
    let path = data.to_str().expect("text");
    let examine = || async {
        let said = scorewire(&data, &["doctor", "--data-dir", path], &[]).await;
        said.is(0, &[("ledger.db", "ok"), ("queue.db", "ok"), ("feeds.db", "ok"), ("data_dir mode", "ok")]);
        assert!(said.text.contains("journal_mode wal, synchronous FULL"), "{}", said.text);
    };
    examine().await;
    let storage = app.finish().await;
    examine().await;

    fs::write(data.join("ledger.db"), "no database").expect("a file");
    scorewire(storage.dir.path(), &["doctor", "--data-dir", path], &[]).await.is(2, &[("ledger.db", "unknown")]);
}

#[tokio::test]
async fn secrets_of_examples_are_dangerous() {
    let dir = disk();
    let secret = "change-me-change-me-change-me-change-me";
    let said = scorewire(dir.path(), &["doctor"], &[("JWT_SECRET", secret)]).await;
    said.is(1, &[("jwt_secret", "danger")]);
    assert!(!said.text.contains(secret), "{}", said.text);
}

#[tokio::test]
async fn a_server_warns_of_what_the_doctor_finds() {
    let dir = disk();
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("a directory");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("its owner may");
    let mut server =
        command(&data, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
    let mut lines = BufReader::new(server.stderr.take().expect("its log")).lines();
    let line = within("a warning", async {
        loop {
            let line = lines.next_line().await.expect("text").expect("the log goes on");
            if line.contains("data_dir mode") {
                return line;
            }
        }
    });
    let line = line.await;
    assert!(line.contains("WARN") && line.contains("chmod 700"), "{line}");
    server.kill().await.expect("it ends");
}

#[tokio::test]
async fn the_health_check_says_whether_a_server_answers_well() {
    let app = TestApp::start().await;
    let dir = disk();
    let check = |path: &str| {
        let url = format!("{}{path}", app.url);
        let dir = dir.path().to_owned();
        async move { scorewire(&dir, &["healthcheck", "--url", &url], &[]).await }
    };
    assert_eq!(check("/healthz").await.status, 0);
    assert_eq!(check("/readyz").await.status, 0);
    let refused = check("/nowhere").await;
    assert_eq!(refused.status, 1);
    assert!(refused.text.contains("404"), "{}", refused.text);
    let nobody = scorewire(dir.path(), &["healthcheck", "--url", "http://127.0.0.1:1/healthz"], &[]).await;
    assert_eq!(nobody.status, 1);
    assert!(nobody.text.contains("does not answer"), "{}", nobody.text);
    app.finish().await;
}
