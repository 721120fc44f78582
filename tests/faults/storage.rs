//! A disk that is full, a ledger that somebody else holds.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::process::Command;

use crate::support::{ServerProcess, TestApp, command, eventually};

const SECRET: &str = "a secret that is long enough for a test";

/// The server with a limit on the size of its files: writes fail beyond it as on a full disk.
fn cramped(server: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 4096; exec \"$0\" \"$@\""]);
    shell.arg(server.as_std().get_program()).args(server.as_std().get_args());
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_plainly_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = ["--jwt-secret", SECRET, "--sample"];
    let server = ServerProcess::try_start(cramped(&command(dir.path(), &arguments))).await.expect("it starts");
    let token = crate::support::admin_token(SECRET);
    let http = reqwest::Client::new();
    let post = |url: String| {
        let body = json!({ "userId": 1, "increment": 1 });
        http.post(format!("{url}/scores/update")).bearer_auth(&token).json(&body).send()
    };
    let mut accepted = 0;
    let problem: Value = loop {
        let answers = futures_util::future::join_all((0..64).map(|_| post(server.url.clone()))).await;
        let mut refused = None;
        for answer in answers {
            let answer = answer.expect("an answer");
            match answer.status() {
                StatusCode::ACCEPTED => accepted += 1,
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert!(answer.headers().contains_key("retry-after"));
                    refused = Some(answer.json().await.expect("JSON"));
                }
                other => panic!("answered {other}"),
            }
        }
        if let Some(problem) = refused {
            break problem;
        }
    };
    assert_eq!(problem["type"], "/problems/unavailable");
    assert!(problem["detail"].as_str().expect("a detail").contains("disk"), "{problem}");
    let read = http.get(format!("{}/scores", server.url)).send().await.expect("an answer");
    assert_eq!(read.status(), StatusCode::OK, "reads go on");

    server.allow_large_files();
    eventually("updates to be accepted again", || async {
        let answer = post(server.url.clone()).await.expect("an answer");
        (answer.status() == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    accepted += 1;
    eventually("everything accepted to be applied", || async {
        let rows: Vec<Value> = http.get(format!("{}/scores", server.url)).send().await.ok()?.json().await.ok()?;
        let alice = rows.iter().find(|row| row["userId"] == 1)?["score"].as_i64()?;
        assert!(alice <= 1_500 + accepted, "{alice}: more than was accepted");
        (alice == 1_500 + accepted).then_some(())
    })
    .await;
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_held_by_somebody_is_waited_for_without_using_up_attempts() {
    let app = TestApp::with(|settings| settings.max_attempts = Some(1)).await;
    app.add_user(1).await;
    let options = SqliteConnectOptions::new().filename(app.data_dir().join("ledger.db"));
    let holder = SqlitePool::connect_with(options).await.expect("the ledger's file");
    let mut connection = holder.acquire().await.expect("a connection");
    connection.execute("BEGIN EXCLUSIVE").await.expect("the lock");
    let id = app.accepted(1, 5, None).await;
    eventually("the worker to notice", || async { (app.server.wiring.metrics.waits.get() > 1).then_some(()) }).await;
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.status(&id).await["status"], "queued");
    connection.execute("ROLLBACK").await.expect("the lock goes");
    let status = app.status_when(&id, &["applied", "failed"]).await;
    assert_eq!(status["status"], "applied");
    eventually("the server to be ready", || async { app.get("/readyz").await.status().is_success().then_some(()) })
        .await;
    drop(connection);
    holder.close().await;
    app.finish().await;
}
