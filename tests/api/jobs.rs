//! `/admin/jobs`: looking at jobs, and deciding about those that were given up on.

use reqwest::{Method, Response, StatusCode};
use scorewire::http::auth::Scope;
use scorewire_core::domain::JobId;
use scorewire_core::ports::{DeadLetter, JobKind};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::{board, refused, text};
use crate::support::{Books, TestApp, eventually};

/// A job of bytes that are not even text.
const JOB: &str = "01J0000000000000000000DEAD";
const UNREADABLE: &[u8] = b"H\xc1\xde\xad";

/// Every route with an id in its place.
const ROUTES: [(Method, &str); 7] = [
    (Method::GET, "/admin/jobs"),
    (Method::DELETE, "/admin/jobs?state=dead"),
    (Method::POST, "/admin/jobs/retry?state=dead"),
    (Method::GET, "/admin/jobs/stats"),
    (Method::GET, "/admin/jobs/01J.0"),
    (Method::DELETE, "/admin/jobs/01J.0"),
    (Method::POST, "/admin/jobs/01J.0/retry"),
];

/// A server with users 1 and 13 that gives up on an update at once, and whose ledger refuses user 13.
async fn poisoned() -> TestApp {
    let app = TestApp::with(|settings| settings.max_attempts = Some(1)).await;
    for id in [1, 13] {
        app.add_user(id).await;
    }
    Books::of(&app.settings).refuse_user_13().await;
    app
}

async fn send(app: &TestApp, method: Method, path: &str) -> Response {
    app.request(method, path).bearer_auth(app.admin()).send().await.expect("an answer")
}

async fn answer(app: &TestApp, method: Method, path: &str, status: StatusCode) -> Value {
    let answer = send(app, method, path).await;
    assert_eq!(answer.status(), status, "{path}");
    assert_eq!(text(answer.headers(), "cache-control"), "no-store");
    answer.json().await.expect("JSON")
}

/// Puts a job into the queue behind the server's back.
async fn queue_unreadable(app: &TestApp) {
    match &app.settings.redis_url.0 {
        None => {
            let options = SqliteConnectOptions::new().filename(app.data_dir().join("queue.db"));
            let queue = SqlitePool::connect_with(options).await.expect("the queue's file");
            let insert = sqlx::query("INSERT INTO Jobs (job, id, job_type) VALUES (?1, ?2, 'scores')");
            insert.bind(UNREADABLE).bind(JOB).execute(&queue).await.expect("a job");
            queue.close().await;
        }
        Some(url) => {
            let client = redis::Client::open(url.0.as_str()).expect("a URL");
            let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
            let base = format!("{{{}q:scores}}", app.settings.redis_prefix);
            let mut push = redis::pipe();
            push.atomic().hset(format!("{base}:job:{JOB}"), "payload", UNREADABLE).ignore();
            push.xadd(format!("{base}:stream"), "*", &[("job", JOB)]).ignore();
            push.query_async::<()>(&mut connection).await.expect("a job");
        }
    }
}

/// Submits updates of user 13 until each is parked; returns their ids.
async fn dead(app: &TestApp, keys: &[Option<&str>]) -> Vec<String> {
    let mut ids = Vec::new();
    for key in keys {
        let id = app.accepted(13, 5, *key).await;
        app.status_when(&id, &["failed"]).await;
        ids.push(id);
    }
    ids
}

fn ids(page: &Value, list: &str) -> Vec<String> {
    let jobs = page[list].as_array().expect("a list").iter();
    jobs.map(|job| job["id"].as_str().or(job.as_str()).expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_sees_or_decides() {
    let app = TestApp::start().await;
    let token = app.token("7", &[Scope::OwnScores, Scope::AnyScores, Scope::Users]);
    for (method, path) in ROUTES {
        let bare = app.request(method.clone(), path).send().await.expect("an answer");
        refused(bare, 401, "unauthorized").await;
        let answer = app.request(method, path).bearer_auth(&token).send().await.expect("an answer");
        refused(answer, 403, "forbidden").await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_whole_and_applied_when_it_is_retried() {
    let app = poisoned().await;
    let [id] = dead(&app, &[Some("k")]).await.try_into().expect("one");
    let page = answer(&app, Method::GET, "/admin/jobs", StatusCode::OK).await;
    assert_eq!((ids(&page, "jobs"), &page["next"]), (vec![id.clone()], &Value::Null));
    let listed = &page["jobs"][0];
    assert_eq!((&listed["state"], &listed["kind"], &listed["updates"]), (&json!("dead"), &json!("scores"), &json!(1)));
    assert_eq!(listed["attempts"], 1);
    assert!(listed["lastError"].as_str().expect("a reason").contains("poisoned"), "{listed}");
    for at in ["acceptedAt", "diedAt"] {
        humantime::parse_rfc3339(listed[at].as_str().expect("a time")).expect("RFC 3339");
    }
    assert!(listed.get("payload").is_none(), "a list need not carry it");
    let mut shown = answer(&app, Method::GET, &format!("/admin/jobs/{id}"), StatusCode::OK).await;
    let payload = shown.as_object_mut().expect("an object").remove("payload").expect("what it carries");
    assert_eq!(&shown, listed);
    assert_eq!((&payload["id"], &payload["user"], &payload["amount"]), (&json!(id), &json!(13), &json!(5)));

    Books::of(&app.settings).take_user_13().await;
    let path = format!("/admin/jobs/{id}/retry");
    let retried = answer(&app, Method::POST, &path, StatusCode::ACCEPTED).await;
    assert_eq!(ids(&retried, "ids"), [id.as_str()]);
    refused(send(&app, Method::POST, &path).await, 404, "not-found").await;
    assert_eq!(app.status_when(&id, &["applied"]).await["score"], 5);
    assert_eq!(board(&app, "").await[0], (1, 13, 5));
    let again = app.submit(13, 5, Some("k")).await;
    assert_eq!(text(again.headers(), "idempotency-replayed"), "true", "its key still counts");
    app.finish().await;
}

/// A fetch job that nobody can read, parked whole; returns its id.
async fn dead_fetch(app: &TestApp) -> String {
    let id = JOB.to_owned();
    let letter = DeadLetter {
        kind: JobKind::Fetch,
        job: JobId::new(&id),
        id: id.clone(),
        payload: b"{\"v\":1}".to_vec(),
        reason: "it can not be read".to_owned(),
        attempts: 1,
    };
    app.server.wiring.queue.bury(&[letter]).await.expect("parked");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_another_kind_are_asked_for_by_name() {
    let app = TestApp::start().await;
    let id = dead_fetch(&app).await;
    for (path, listed) in [("/admin/jobs", 0), ("/admin/jobs?kind=scores", 0), ("/admin/jobs?kind=fetch", 1)] {
        let page = answer(&app, Method::GET, path, StatusCode::OK).await;
        assert_eq!(ids(&page, "jobs"), vec![id.clone(); listed], "{path}");
    }
    let shown = answer(&app, Method::GET, &format!("/admin/jobs/{id}"), StatusCode::OK).await;
    assert_eq!(
        (&shown["kind"], &shown["updates"], &shown["payload"]),
        (&json!("fetch"), &Value::Null, &json!({"v":1}))
    );
    for (path, dead) in [("/admin/jobs/stats", 0), ("/admin/jobs/stats?kind=fetch", 1)] {
        assert_eq!(answer(&app, Method::GET, path, StatusCode::OK).await["dead"], dead, "{path}");
    }
    for path in ["/admin/jobs?kind=other", "/admin/jobs/stats?kind=", "/admin/jobs/stats?state=dead"] {
        refused(send(&app, Method::GET, path).await, 400, "invalid-request").await;
    }
    let path = "/admin/jobs?state=dead&kind=";
    let none = answer(&app, Method::DELETE, &format!("{path}scores"), StatusCode::OK).await;
    let one = answer(&app, Method::DELETE, &format!("{path}fetch"), StatusCode::OK).await;
    assert_eq!((ids(&none, "ids"), ids(&one, "ids")), (vec![], vec![id]));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_update_is_forgotten_and_its_key_is_free() {
    let app = poisoned().await;
    let [id] = dead(&app, &[Some("k")]).await.try_into().expect("one");
    let path = format!("/admin/jobs/{id}");
    assert_eq!(ids(&answer(&app, Method::DELETE, &path, StatusCode::OK).await, "ids"), [id.as_str()]);
    for (method, path) in [
        (Method::DELETE, path.clone()),
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}/retry")),
        (Method::GET, format!("/scores/updates/{id}")),
    ] {
        refused(send(&app, method, &path).await, 404, "not-found").await;
    }
    Books::of(&app.settings).take_user_13().await;
    let again = app.submit(13, 7, Some("k")).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert!(!again.headers().contains_key("idempotency-replayed"));
    assert_eq!(again.json::<Value>().await.expect("JSON")["id"], id.as_str());
    assert_eq!(app.status_when(&id, &["applied"]).await["score"], 7);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_are_listed_and_decided_about_page_by_page() {
    let app = poisoned().await;
    let mut dead = dead(&app, &[None, Some("a"), None, Some("b"), None]).await;
    dead.reverse();
    let first = answer(&app, Method::GET, "/admin/jobs?state=dead&limit=2", StatusCode::OK).await;
    assert_eq!(ids(&first, "jobs"), dead[..2], "newest first");
    let next = first["next"].as_str().expect("there are more");
    let rest = answer(&app, Method::GET, &format!("/admin/jobs?after={next}"), StatusCode::OK).await;
    assert_eq!((ids(&rest, "jobs"), &rest["next"]), (dead[2..].to_vec(), &Value::Null));

    let gone = answer(&app, Method::DELETE, "/admin/jobs?state=dead&limit=2", StatusCode::OK).await;
    assert_eq!(ids(&gone, "ids").len(), 2);
    Books::of(&app.settings).take_user_13().await;
    let retried = answer(&app, Method::POST, "/admin/jobs/retry?state=dead", StatusCode::ACCEPTED).await;
    assert_eq!((ids(&retried, "ids").len(), &retried["next"]), (3, &Value::Null));
    for id in ids(&retried, "ids") {
        app.status_when(&id, &["applied"]).await;
    }
    assert_eq!(board(&app, "").await[0], (1, 13, 15), "three were retried, two discarded");
    let stats = answer(&app, Method::GET, "/admin/jobs/stats", StatusCode::OK).await;
    assert_eq!(stats, json!({ "depth": 0, "oldestSeconds": 0.0, "dead": 0 }));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_nobody_can_read_is_shown_and_can_be_discarded() {
    let app = TestApp::start().await;
    queue_unreadable(&app).await;
    app.add_user(1).await;
    app.decided(1, 5).await;
    let shown = eventually("the job to be parked", || async {
        let answer = send(&app, Method::GET, &format!("/admin/jobs/{JOB}")).await;
        let shown: Value = answer.json().await.expect("JSON");
        (shown["state"] == "dead").then_some(shown)
    })
    .await;
    assert_eq!((&shown["updates"], &shown["job"]), (&Value::Null, &json!(JOB)));
    assert!(shown["payload"].as_str().expect("text").starts_with('H'), "{shown}");
    let retried = answer(&app, Method::POST, &format!("/admin/jobs/{JOB}/retry"), StatusCode::ACCEPTED).await;
    assert_eq!(ids(&retried, "ids"), [JOB]);
    let parked = eventually("it to be parked again", || async {
        let page = answer(&app, Method::GET, "/admin/jobs", StatusCode::OK).await;
        ids(&page, "jobs").pop()
    })
    .await;
    assert_ne!(parked, JOB, "a retry is a new job");
    answer(&app, Method::DELETE, &format!("/admin/jobs/{parked}"), StatusCode::OK).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_meant_is_refused() {
    let app = TestApp::start().await;
    let queries = [
        (Method::GET, "?state=finished"),
        (Method::GET, "?limit=0"),
        (Method::GET, "?limit=101"),
        (Method::GET, "?after=nonsense"),
        (Method::GET, "?colour=red"),
        (Method::DELETE, ""),
        (Method::DELETE, "?state=queued"),
        (Method::POST, "/retry"),
        (Method::POST, "/retry?state=queued"),
    ];
    for (method, query) in queries {
        refused(send(&app, method, &format!("/admin/jobs{query}")).await, 400, "invalid-request").await;
    }
    for id in ["01J.0", "nobody", "%41", "~"] {
        refused(send(&app, Method::GET, &format!("/admin/jobs/{id}")).await, 404, "not-found").await;
        refused(send(&app, Method::POST, &format!("/admin/jobs/{id}/retry")).await, 404, "not-found").await;
        refused(send(&app, Method::DELETE, &format!("/admin/jobs/{id}")).await, 404, "not-found").await;
    }
    app.finish().await;
}
