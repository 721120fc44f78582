//! `kill -9` at random moments under load: every 202 is applied exactly once, counted from outside.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{ServerProcess, admin_token, eventually};

const UPDATES: usize = 20_000;
const KILLS: usize = 12;
const USERS: usize = 50;
const SENDERS: usize = 24;
const SECRET: &str = "a secret that is long enough for a test";

struct Load {
    http: reqwest::Client,
    url: watch::Receiver<String>,
    token: String,
    next: AtomicUsize,
    accepted: AtomicU64,
    unanswered: AtomicU64,
}

impl Load {
    /// Posts updates until none is left, each until it is answered with 202; returns the ids.
    async fn send(self: Arc<Self>) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= UPDATES {
                return ids;
            }
            ids.push(self.post_until_accepted(n).await);
        }
    }

    /// An unanswered post may or may not have been accepted: the same key makes asking again safe.
    async fn post_until_accepted(&self, n: usize) -> String {
        let body = json!({ "userId": n % USERS + 1, "increment": n % 7 + 1 });
        eventually("an update to be accepted", || async {
            let url = self.url.borrow().clone();
            let sent = self
                .http
                .post(format!("{url}/scores/update"))
                .bearer_auth(&self.token)
                .header("Idempotency-Key", format!("crash-{n}"))
                .json(&body)
                .send()
                .await;
            let answer = match sent {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => answer.json::<Value>().await.ok(),
                Ok(answer) => panic!("refused with {}", answer.status()),
                Err(_) => None,
            };
            if answer.is_none() {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            let id = answer?["id"].as_str()?.to_owned();
            self.accepted.fetch_add(1, Ordering::Relaxed);
            Some(id)
        })
        .await
    }
}

async fn start(dir: &std::path::Path) -> ServerProcess {
    ServerProcess::start(dir, &["--jwt-secret", SECRET]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_update_is_applied_exactly_once_whenever_the_server_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = start(dir.path()).await;
    let token = admin_token(SECRET);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    for id in 1..=USERS {
        let body = json!({ "id": id, "name": format!("user {id}") });
        let url = format!("{}/users", server.url);
        http.post(url).bearer_auth(&token).json(&body).send().await.expect("an answer");
    }
    let (urls, url) = watch::channel(server.url.clone());
    let load = Arc::new(Load {
        http: http.clone(),
        url,
        token: token.clone(),
        next: AtomicUsize::new(0),
        accepted: AtomicU64::new(0),
        unanswered: AtomicU64::new(0),
    });
    let senders: Vec<_> = (0..SENDERS).map(|_| tokio::spawn(Arc::clone(&load).send())).collect();
    for kill in 1..=KILLS {
        // Spread over the run, at moments nobody chose.
        let share = UPDATES / (KILLS + 1);
        let moment = (kill * share) as u64 + rand::random_range(0..share as u64);
        eventually("the load to get on", || async {
            (load.accepted.load(Ordering::Relaxed) >= moment.min(UPDATES as u64 - 1)).then_some(())
        })
        .await;
        server.kill().await;
        server = start(dir.path()).await;
        urls.send_replace(server.url.clone());
    }
    let mut ids = Vec::new();
    for sender in senders {
        ids.extend(sender.await.expect("a sender"));
    }
    assert_eq!(ids.len(), UPDATES);

    let url = server.url.clone();
    let mut expected: HashMap<i64, i64> = HashMap::new();
    for n in 0..UPDATES {
        *expected.entry((n % USERS + 1) as i64).or_default() += (n % 7 + 1) as i64;
    }
    let total: i64 = expected.values().sum();
    let rows = eventually("the queue to be worked off", || async {
        let rows: Vec<Value> = http.get(format!("{url}/scores?limit=100")).send().await.ok()?.json().await.ok()?;
        let sum: i64 = rows.iter().filter_map(|row| row["score"].as_i64()).sum();
        assert!(sum <= total, "{sum} of {total}: something was applied twice");
        (sum == total).then_some(rows)
    })
    .await;
    for row in rows {
        let user = row["userId"].as_i64().expect("an id");
        assert_eq!(row["score"].as_i64(), expected.get(&user).copied(), "the score of user {user}");
    }
    for id in ids.iter().step_by(10) {
        let answer = http.get(format!("{url}/scores/updates/{id}")).bearer_auth(&token).send().await;
        let status: Value = answer.expect("an answer").json().await.expect("JSON");
        assert_eq!(status["status"], "applied", "{status}");
    }
    println!("{KILLS} kills, {} posts unanswered and repeated", load.unanswered.load(Ordering::Relaxed));
    server.terminate().await;
}
