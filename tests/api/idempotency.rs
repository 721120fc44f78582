//! `Idempotency-Key`: one key of one subject is one update, however often and from wherever it is sent.

use std::collections::HashSet;

use futures_util::future::join_all;
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::{board, refused, writer};
use crate::support::TestApp;

async fn submit(app: &TestApp, subject: &str, key: &[u8], body: &str) -> Response {
    let request = app.request(Method::POST, "/scores/update").bearer_auth(writer(app, subject));
    let request = request.header("Content-Type", "application/json").body(body.to_owned());
    let key = HeaderValue::from_bytes(key).expect("a header");
    request.header("Idempotency-Key", key).send().await.expect("an answer")
}

/// The id of an accepted update, and whether it was a replay.
async fn accepted(answer: Response) -> (String, bool) {
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let replayed = answer.headers().get("idempotency-replayed").map(|value| value == "true");
    let body: Value = answer.json().await.expect("JSON");
    (body["id"].as_str().expect("an id").to_owned(), replayed.unwrap_or(false))
}

async fn app_with_user() -> TestApp {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_update_changes_nothing() {
    let app = app_with_user().await;
    let body = r#"{"userId":1,"increment":10}"#;
    let (id, replayed) = accepted(submit(&app, "ann", b"key-1", body).await).await;
    assert!(!replayed);
    // At once, after it was applied, and written differently.
    assert_eq!(accepted(submit(&app, "ann", b"key-1", body).await).await, (id.clone(), true));
    app.status_when(&id, &["applied"]).await;
    let otherwise = "{ \"increment\": 10,\n\t\"userId\": 1 }";
    for body in [body, otherwise] {
        let answer = submit(&app, "ann", b"key-1", body).await;
        assert_eq!(answer.headers()["location"], format!("/scores/updates/{id}"));
        assert_eq!(accepted(answer).await, (id.clone(), true));
    }
    // Another update, decided later, shows that no repeat is still on its way.
    assert_eq!(app.decided(1, 1).await["score"], 11);
    assert_eq!(app.server.wiring.metrics.replayed.get(), 3);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_with_one_key_at_once_one_is_applied() {
    let app = app_with_user().await;
    let body = r#"{"userId":1,"increment":3}"#;
    let answers = join_all((0..50).map(|_| submit(&app, "ann", b"stampede", body))).await;
    let answers = join_all(answers.into_iter().map(accepted)).await;
    assert_eq!(answers.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    app.status_when(&answers[0].0, &["applied"]).await;
    assert_eq!(app.decided(1, 1).await["score"], 4);
    app.settled().await;
    assert_eq!(app.server.wiring.metrics.applied.get(), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_for_another_body_is_refused() {
    let app = app_with_user().await;
    app.add_user(2).await;
    let (id, _) = accepted(submit(&app, "ann", b"key", r#"{"userId":1,"increment":10}"#).await).await;
    for body in [r#"{"userId":1,"increment":11}"#, r#"{"userId":2,"increment":10}"#, r#"{"userId":1,"increment":-10}"#]
    {
        let refusal = refused(submit(&app, "ann", b"key", body).await, 422, "idempotency-key-reused").await;
        assert!(refusal.detail().contains(&id), "{}", refusal.detail());
    }
    app.status_when(&id, &["applied"]).await;
    assert_eq!(board(&app, "").await, [(1, 1, 10), (2, 2, 0)]);
    assert_eq!(accepted(submit(&app, "ann", b"key", r#"{"userId":1,"increment":10}"#).await).await, (id, true));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_subject() {
    let app = app_with_user().await;
    let body = r#"{"userId":1,"increment":10}"#;
    let (ann, _) = accepted(submit(&app, "ann", b"key", body).await).await;
    let (bob, replayed) = accepted(submit(&app, "bob", b"key", body).await).await;
    assert!(!replayed && ann != bob, "{ann} {bob}");
    // Subject and key do not run into each other.
    let (annk, replayed) = accepted(submit(&app, "annk", b"ey", body).await).await;
    assert!(!replayed && annk != ann);
    for id in [ann, bob, annk] {
        app.status_when(&id, &["applied"]).await;
    }
    assert_eq!(board(&app, "").await, [(1, 1, 30)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_every_request_is_an_update() {
    let app = app_with_user().await;
    let ids = join_all((0..20).map(|_| app.accepted(1, 1, None))).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20);
    for id in &ids {
        app.status_when(id, &["applied"]).await;
    }
    assert_eq!(board(&app, "").await, [(1, 1, 20)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_differ_in_anything_are_different_keys() {
    let app = app_with_user().await;
    let longest = "k".repeat(128);
    let keys = ["a", "A", "aa", "!", "~", "\"quoted\"", "a,b", "%61", "01", "1", &longest, &longest[..127]];
    let mut ids = HashSet::new();
    for key in keys {
        let (id, replayed) = accepted(submit(&app, "ann", key.as_bytes(), r#"{"userId":1,"increment":1}"#).await).await;
        assert!(!replayed && ids.insert(id), "{key}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_can_not_be_one_is_refused() {
    let app = app_with_user().await;
    let too_long = [b'k'; 129];
    for key in [&b""[..], b"   ", &too_long, b"a\tb", "schlüssel".as_bytes(), b"\xff", &[b'k'; 5_000]] {
        let refusal =
            refused(submit(&app, "ann", key, r#"{"userId":1,"increment":1}"#).await, 400, "invalid-request").await;
        assert!(refusal.detail().starts_with("Idempotency-Key: "), "{}", refusal.detail());
    }
    assert_eq!(board(&app, "").await, [(1, 1, 0)]);
    app.finish().await;
}
