//! `Prefer: wait`: a write that is answered with its result when that is there in time.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scorewire_core::settings::Overrides;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{refused, text};
use crate::support::{Books, LedgerConnection, TestApp, eventually, within};

/// So long that a test which waits for its end fails.
const FOR_EVER: &str = "wait=3000";

fn patient(settings: &mut Overrides) {
    settings.max_wait = Some("1h".parse().expect("a span"));
}

async fn app_with_user(change: impl FnOnce(&mut Overrides)) -> TestApp {
    let app = TestApp::with(change).await;
    app.add_user(1).await;
    app
}

fn request(app: &TestApp, user: i64, increment: i64) -> RequestBuilder {
    let body = json!({ "userId": user, "increment": increment });
    app.request(Method::POST, "/scores/update").bearer_auth(app.admin()).json(&body)
}

async fn submit(app: &TestApp, prefer: &str) -> Response {
    within("an answer", request(app, 1, 10).header("Prefer", prefer).send()).await.expect("an answer")
}

async fn body(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}

/// Keeps the worker from deciding anything until closed.
async fn hold_ledger(app: &TestApp) -> LedgerConnection {
    LedgerConnection::to(&app.storage).await.hold().await
}

async fn let_go(held: LedgerConnection) {
    held.close().await;
}

async fn waiting(app: &TestApp, count: i64) {
    let gauge = &app.server.wiring.metrics.waiting;
    eventually("so many to wait", || async { (gauge.get() == count).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_is_answered_with_its_result() {
    let app = app_with_user(patient).await;
    let answer = submit(&app, FOR_EVER).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    let result = body(answer).await;
    let id = result["id"].as_str().expect("an id");
    assert_eq!((&result["status"], &result["score"]), (&json!("applied"), &json!(10)));
    assert_eq!(result, app.status(id).await, "what the status says");
    assert_eq!(text(&headers, "preference-applied"), FOR_EVER);
    assert_eq!(text(&headers, "location"), format!("/scores/updates/{id}"));
    assert_eq!(text(&headers, "cache-control"), "no-store");
    assert!(!headers.contains_key("idempotency-replayed"));
    // Decided means published, too.
    assert_eq!(app.scores("").await, [(1, 1, 10)]);
    assert!(app.get("/metrics").await.text().await.expect("text").contains("scorewire_waiting_requests 0"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_a_result() {
    let app = app_with_user(patient).await;
    let answer = within("an answer", request(&app, 404, 1).header("Prefer", FOR_EVER).send()).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let result = body(answer).await;
    assert_eq!((&result["status"], &result["reason"]), (&json!("rejected"), &json!("unknown-user")));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_given_up_on_is_a_result() {
    let app = app_with_user(|settings| {
        patient(settings);
        settings.max_attempts = Some(2);
        settings.retry_base = Some("10ms".parse().expect("a span"));
    })
    .await;
    Books::of(&app.settings).refuse_user_13().await;
    app.add_user(13).await;
    let waiting = request(&app, 13, 10).header("Prefer", FOR_EVER).send();
    let answer = within("an answer", waiting).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let result = body(answer).await;
    assert_eq!((&result["status"], &result["attempts"]), (&json!("failed"), &json!(2)));
    assert!(result["detail"].as_str().is_some_and(|why| why.contains("poisoned")), "{result}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_decided_in_time_is_accepted_as_ever() {
    let app = app_with_user(patient).await;
    let held = hold_ledger(&app).await;
    let answer = submit(&app, "wait=1").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(text(answer.headers(), "preference-applied"), "wait=1");
    let location = text(answer.headers(), "location").to_owned();
    let accepted = body(answer).await;
    assert_eq!(accepted["message"], "Score update request submitted");
    let id = accepted["id"].as_str().expect("an id");
    assert_eq!(location, format!("/scores/updates/{id}"));
    assert_eq!(submit(&app, "wait=0").await.status(), StatusCode::ACCEPTED, "not even a moment");
    waiting(&app, 0).await;
    let_go(held).await;
    assert_eq!(app.status_when(id, &["applied"]).await["score"], 10);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_is_none_is_ignored() {
    let app = app_with_user(patient).await;
    let held = hold_ledger(&app).await;
    for garbage in ["", "wait", "wait=", "wait=soon", "wait=-1", "wait=1.5", "respond-async", "foo=\"wait=3\""] {
        let answer = submit(&app, garbage).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{garbage}");
        assert!(!answer.headers().contains_key("preference-applied"), "{garbage}");
    }
    let_go(held).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_too_much_is_cut_to_what_the_server_allows() {
    for (allowed, wish, applied) in
        [("1s", FOR_EVER, Some("wait=1")), ("200ms", "wait=5", Some("wait=1")), ("0s", FOR_EVER, None)]
    {
        let app = app_with_user(|settings| settings.max_wait = Some(allowed.parse().expect("a span"))).await;
        let held = hold_ledger(&app).await;
        let answer = submit(&app, wish).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let said = answer.headers().get("preference-applied").map(|value| value.to_str().expect("text"));
        assert_eq!(said, applied, "{allowed}");
        let_go(held).await;
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_update_waits_for_the_first() {
    let app = app_with_user(patient).await;
    let held = hold_ledger(&app).await;
    let keyed = |prefer: Option<&str>| {
        let request = request(&app, 1, 10).header("Idempotency-Key", "key");
        match prefer {
            Some(wish) => request.header("Prefer", wish),
            None => request,
        }
        .send()
    };
    let first = keyed(None).await.expect("an answer");
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let id = body(first).await["id"].clone();
    let repeats = join_all((0..3).map(|_| keyed(Some(FOR_EVER))));
    let (repeats, ()) = tokio::join!(repeats, async {
        waiting(&app, 3).await;
        let_go(held).await;
    });
    // And one that comes when all is decided.
    for repeat in repeats.into_iter().chain([keyed(Some(FOR_EVER)).await]) {
        let repeat = repeat.expect("an answer");
        assert_eq!(repeat.status(), StatusCode::OK);
        assert_eq!(text(repeat.headers(), "idempotency-replayed"), "true");
        let result = body(repeat).await;
        assert_eq!((&result["id"], &result["status"], &result["score"]), (&id, &json!("applied"), &json!(10)));
    }
    let reused = request(&app, 1, 11).header("Idempotency-Key", "key").header("Prefer", FOR_EVER);
    refused(reused.send().await.expect("an answer"), 422, "idempotency-key-reused").await;
    waiting(&app, 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_may_wait_at_once_and_each_gets_its_own_result() {
    let app = app_with_user(patient).await;
    let held = hold_ledger(&app).await;
    let requests = join_all((1..=200).map(|n| request(&app, 1, n).header("Prefer", FOR_EVER).send()));
    let (answers, ()) = tokio::join!(within("answers", requests), async {
        waiting(&app, 200).await;
        let_go(held).await;
    });
    let mut scores = Vec::new();
    for (answer, increment) in answers.into_iter().zip(1..) {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let result = body(answer).await;
        assert_eq!((&result["status"], &result["increment"]), (&json!("applied"), &json!(increment)));
        scores.push(result["score"].as_i64().expect("a score"));
    }
    scores.sort_unstable();
    scores.dedup();
    assert_eq!((scores.len(), scores.last()), (200, Some(&20_100)));
    waiting(&app, 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_waits_no_longer() {
    let app = app_with_user(patient).await;
    let held = hold_ledger(&app).await;
    let body = r#"{"userId":1,"increment":10}"#;
    let head = format!(
        "POST /scores/update HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nPrefer: {FOR_EVER}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        app.admin(),
        body.len(),
    );
    let mut stream = TcpStream::connect(app.server.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    waiting(&app, 1).await;
    drop(stream);
    waiting(&app, 0).await;
    let_go(held).await;
    // It was accepted all the same.
    eventually("the update to be applied", || async { (app.scores("").await == [(1, 1, 10)]).then_some(()) }).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_keeps_nobody_waiting() {
    let app = app_with_user(|settings| {
        patient(settings);
        settings.shutdown_timeout = Some("1h".parse().expect("a span"));
    })
    .await;
    let held = hold_ledger(&app).await;
    let request = request(&app, 1, 10).header("Prefer", FOR_EVER);
    let answer = tokio::spawn(request.send());
    waiting(&app, 1).await;
    within("the server to stop", app.server.stop()).await;
    let answer = answer.await.expect("ended").expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "it is queued, and that is all that is known");
    let_go(held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_there_may_be_connections() {
    let app = app_with_user(patient).await;
    let places: Vec<_> = std::iter::from_fn(|| app.server.wiring.replies.expect()).collect();
    assert_eq!(places.len(), app.settings.max_connections);
    let answer = submit(&app, FOR_EVER).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert!(!answer.headers().contains_key("preference-applied"));
    drop(places);
    assert_eq!(submit(&app, FOR_EVER).await.status(), StatusCode::OK);
    app.finish().await;
}
