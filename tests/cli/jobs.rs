//! `scorewire jobs`, of a running server and of one that is not running.

use std::path::Path;
use std::sync::Arc;

use scorewire_core::domain::JobId;
use scorewire_core::ports::{DeadLetter, JobKind, Queue, SystemClock};
use scorewire_core::queue::SqliteQueue;
use scorewire_core::settings::units::Secret;
use serde_json::{Value, json};

use super::{scorewire, scorewire_with};
use crate::support::{Books, Deployment, ServerProcess, Storage, TestApp, admin_token, eventually};

const SECRET: &str = "a secret that is long enough for a test";

/// Runs `scorewire jobs …` as somebody who knows the server's secret.
async fn jobs(dir: &Path, arguments: &[&str]) -> super::Said {
    scorewire(dir, &[&["jobs"], arguments, &["--jwt-secret", SECRET]].concat()).await
}

/// The same with `--json`, which must succeed.
async fn json(dir: &Path, arguments: &[&str]) -> Value {
    let said = jobs(dir, &[arguments, &["--json"]].concat()).await;
    assert!(said.success, "{said:?}");
    serde_json::from_str(&said.out).expect("JSON")
}

async fn stats(dir: &Path) -> (u64, u64) {
    let stats = json(dir, &["stats"]).await;
    let number = |name: &str| stats[name].as_u64().expect("a number");
    (number("depth"), number("dead"))
}

/// Sends updates of user 13, each of which is parked; returns their ids, newest first.
async fn dead_letters(server: &ServerProcess, dir: &Path, count: usize) -> Vec<String> {
    let http = reqwest::Client::new();
    let mut ids = Vec::new();
    for n in 1..=count {
        let post = http.post(format!("{}/scores/update", server.url)).bearer_auth(admin_token(SECRET));
        let sent = post.json(&json!({ "userId": 13, "increment": 5 })).send().await.expect("an answer");
        assert_eq!(sent.status(), 202);
        let body: Value = sent.json().await.expect("JSON");
        ids.insert(0, body["id"].as_str().expect("an id").to_owned());
        eventually("the update to be parked", || async { (stats(dir).await == (0, n as u64)).then_some(()) }).await;
    }
    ids
}

async fn score(server: &ServerProcess) -> i64 {
    let rows: Vec<Value> =
        reqwest::get(format!("{}/scores", server.url)).await.expect("an answer").json().await.expect("JSON");
    rows[0]["score"].as_i64().expect("a score")
}

/// A server that gives up on an update at once, with a user 13 that its ledger refuses.
async fn poisoned(dir: &Path) -> ServerProcess {
    let server = ServerProcess::start(dir, &["--jwt-secret", SECRET, "--max-attempts", "1"]).await;
    let added = scorewire(dir, &["users", "add", "Grace", "--id", "13", "--jwt-secret", SECRET]).await;
    assert!(added.success, "{added:?}");
    Books::in_dir(dir).refuse_user_13().await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_running_server_are_listed_shown_retried_and_discarded() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let server = poisoned(dir).await;
    assert_eq!(jobs(dir, &["list"]).await.out, "no jobs are dead\n");
    let ids = dead_letters(&server, dir, 3).await;

    let table = jobs(dir, &["list"]).await.out;
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("ID ") && rows.len() == 4, "{table}");
    for (row, id) in rows[1..].iter().zip(&ids) {
        assert!(row.starts_with(id.as_str()) && row.contains("poisoned"), "{table}");
    }
    let first = json(dir, &["list", "--limit", "2"]).await;
    let next = first["next"].as_str().expect("there is another");
    let last = json(dir, &["list", "--after", next]).await;
    assert_eq!((&first["jobs"][1]["id"], &last["jobs"][0]["id"]), (&json!(ids[1]), &json!(ids[2])));
    let shown = jobs(dir, &["show", &ids[0]]).await.out;
    assert!(shown.contains("dead") && shown.contains("\"amount\": 5"), "{shown}");
    assert_eq!(json(dir, &["show", &ids[0]]).await["payload"]["user"], 13);

    Books::in_dir(dir).take_user_13().await;
    assert_eq!(json(dir, &["retry", &ids[0]]).await["ids"], json!([ids[0]]));
    eventually("the retried update to be applied", || async { (score(&server).await == 5).then_some(()) }).await;
    let again = jobs(dir, &["retry", &ids[0]]).await;
    assert!(!again.success && again.err.contains("no dead letter has the id"), "{again:?}");
    assert!(jobs(dir, &["discard", &ids[1]]).await.success);
    assert_eq!(json(dir, &["retry", "--all"]).await["ids"], json!([ids[2]]));
    eventually("the other to be applied", || async { (score(&server).await == 10).then_some(()) }).await;
    assert_eq!(stats(dir).await.1, 0);
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_in_the_files_of_a_stopped_server_are_decided_about_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let server = poisoned(dir).await;
    let ids = dead_letters(&server, dir, 3).await;
    server.terminate().await;

    assert_eq!(json(dir, &["show", &ids[1]]).await["state"], "dead");
    assert_eq!(json(dir, &["retry", &ids[1]]).await["ids"], json!([ids[1]]));
    assert_eq!(json(dir, &["list", "--state", "queued"]).await["jobs"][0]["updates"], 1);
    let unconfirmed = jobs(dir, &["discard", "--all"]).await;
    assert!(!unconfirmed.success && unconfirmed.err.contains("--yes"), "{unconfirmed:?}");
    assert_eq!(stats(dir).await, (1, 2), "nothing was discarded");
    assert_eq!(json(dir, &["discard", "--all", "--yes"]).await["ids"], json!([ids[0], ids[2]]));
    assert_eq!(stats(dir).await, (1, 0));

    Books::in_dir(dir).take_user_13().await;
    let server = ServerProcess::start(dir, &["--jwt-secret", SECRET]).await;
    eventually("the retried update to be applied", || async { (score(&server).await == 5).then_some(()) }).await;
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_another_kind_are_asked_for_by_name_running_or_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let queue = SqliteQueue::open(&dir.join("queue.db"), Arc::new(SystemClock)).await.expect("a queue");
    let letters = ["01J0000000000000000000DEA1", "01J0000000000000000000DEA2"].map(|id| DeadLetter {
        kind: JobKind::Fetch,
        id: id.to_owned(),
        job: JobId::new(id),
        payload: b"{\"v\":1}".to_vec(),
        reason: "it can not be read".to_owned(),
        attempts: 1,
    });
    queue.bury(&letters).await.expect("parked");
    queue.close().await;
    let listed = async || json(dir, &["list", "--kind", "fetch"]).await["jobs"].as_array().expect("a list").len();
    let dead = async |kind| json(dir, &["stats", "--kind", kind]).await["dead"].as_u64().expect("a number");

    assert_eq!((listed().await, dead("fetch").await, dead("scores").await), (2, 2, 0));
    let table = jobs(dir, &["list", "--kind", "fetch"]).await.out;
    assert!(table.contains(&letters[0].id) && !table.contains("unreadable"), "{table}");
    assert_eq!(json(dir, &["retry", "--all"]).await["ids"], json!([]));
    assert_eq!(json(dir, &["retry", &letters[0].id]).await["ids"], json!([letters[0].id]));
    assert_eq!(json(dir, &["list", "--kind", "fetch", "--state", "queued"]).await["jobs"][0]["kind"], "fetch");

    let server = ServerProcess::start(dir, &["--jwt-secret", SECRET]).await;
    assert_eq!((listed().await, dead("fetch").await, dead("scores").await), (1, 1, 0));
    assert_eq!(json(dir, &["discard", "--all", "--yes"]).await["ids"], json!([]));
    let discarded = json(dir, &["discard", "--all", "--yes", "--kind", "fetch"]).await;
    assert_eq!(discarded["ids"], json!([letters[1].id]));
    assert_eq!(dead("fetch").await, 0);
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_names_nothing_or_nobody_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    for (arguments, said) in [
        (&["show", "nobody"][..], "has the id nobody"),
        (&["retry", "nobody"], "has the id nobody"),
        (&["retry"], "--all"),
        (&["discard", "nobody", "--all", "--yes"], "cannot be used with"),
        (&["list", "--state", "finished"], "queued, running, retrying, dead"),
        (&["list", "--after", "nonsense"], "no page ended there"),
        (&["list", "--kind", "nonsense"], "scores, fetch"),
    ] {
        let refused = jobs(dir.path(), arguments).await;
        assert!(!refused.success && refused.err.contains(said), "{arguments:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_in_redis_are_decided_about_beside_the_servers() {
    let storage = Storage::empty(Deployment::Distributed).await;
    let app = TestApp::on(storage, |settings| settings.max_attempts = Some(1)).await;
    app.add_user(13).await;
    let books = Books::of(&app.settings);
    books.refuse_user_13().await;
    let mut ids = Vec::new();
    for key in ["a", "b"] {
        let id = app.accepted(13, 5, Some(key)).await;
        app.status_when(&id, &["failed"]).await;
        ids.insert(0, id);
    }
    books.take_user_13().await;
    let settings = &app.settings;
    let url = |url: &Option<Secret>| url.as_ref().expect("a URL").0.clone();
    let variables = [
        ("DATABASE_URL", url(&settings.database_url.0)),
        ("REDIS_URL", url(&settings.redis_url.0)),
        ("SCOREWIRE_REDIS_PREFIX", settings.redis_prefix.clone()),
    ];
    let run = async |arguments: &[&str]| {
        let said = scorewire_with(&variables, &app.data_dir(), &[&["jobs"], arguments, &["--json"]].concat()).await;
        assert!(said.success, "{said:?}");
        serde_json::from_str::<Value>(&said.out).expect("JSON")
    };
    let listed = run(&["list"]).await;
    assert_eq!([&listed["jobs"][0]["id"], &listed["jobs"][1]["id"]], [&json!(ids[0]), &json!(ids[1])]);
    assert_eq!(run(&["show", &ids[0]]).await["payload"]["user"], 13);
    assert_eq!(run(&["discard", &ids[0]]).await["ids"], json!([ids[0]]));
    assert_eq!(run(&["retry", "--all"]).await["ids"], json!([ids[1]]));
    assert_eq!(app.status_when(&ids[1], &["applied"]).await["score"], 5);
    assert_eq!(run(&["stats"]).await["dead"], 0);
    app.finish().await;
}
