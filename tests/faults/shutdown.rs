//! An orderly end: requests in flight are answered, viewers are told to come back, what is queued stays queued.

use serde_json::{Value, json};

use crate::support::{ServerProcess, Stream, admin_token, eventually};

const SECRET: &str = "a secret that is long enough for a test";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_asked_to_end_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = ["--jwt-secret", SECRET, "--sample"];
    let server = ServerProcess::start(dir.path(), &arguments).await;
    let http = reqwest::Client::new();
    let url = server.url.clone();
    let mut viewer = Stream::new(http.get(format!("{url}/scores/stream")).send().await.expect("an answer"));
    viewer.expect("snapshot").await;
    let token = admin_token(SECRET);
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (http, url, token) = (http.clone(), url.clone(), token.clone());
            tokio::spawn(async move {
                let mut accepted = 0;
                let body = json!({ "userId": 2, "increment": 1 });
                // Ends with the server: the first post that is not accepted is the last.
                while let Ok(answer) =
                    http.post(format!("{url}/scores/update")).bearer_auth(&token).json(&body).send().await
                {
                    if answer.status() != 202 {
                        break;
                    }
                    accepted += 1;
                }
                accepted
            })
        })
        .collect();
    viewer.next_of("update").await;
    server.terminate().await;
    while viewer.next().await.is_some() {}
    assert!(viewer.retry.is_some_and(|wait| (500..5_000).contains(&wait)), "{:?}", viewer.retry);
    let mut accepted = 0;
    for sender in senders {
        accepted += sender.await.expect("a sender");
    }

    let server = ServerProcess::start(dir.path(), &arguments).await;
    eventually("everything accepted to be applied", || async {
        let rows: Vec<Value> = http.get(format!("{}/scores", server.url)).send().await.ok()?.json().await.ok()?;
        let score = rows.iter().find(|row| row["userId"] == 2)?["score"].as_i64()? - 1_420;
        // An answer may be lost with its connection, but not by more than was in flight.
        assert!(score <= accepted + 16, "{score} of {accepted}");
        (score >= accepted).then_some(())
    })
    .await;
    server.terminate().await;
}
