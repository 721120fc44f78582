//! `POST /scores/update` and `GET /scores/updates/{id}`: accepted at once, applied exactly once, and what became of it.

use std::collections::HashMap;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use scorewire::http::auth::Scope;
use scorewire_core::domain::SCORE_LIMIT;
use serde_json::{Value, json};

use super::{board, post, raw, refused, text, writer};
use crate::support::{TestApp, eventually};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_update_says_so_and_where_to_ask() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let answer = app.submit(1, 10, None).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let headers = answer.headers().clone();
    let body: Value = answer.json().await.expect("JSON");
    let id = body["id"].as_str().expect("an id").to_owned();
    assert_eq!(body, json!({ "message": "Score update request submitted", "id": id }));
    assert_eq!(text(&headers, "location"), format!("/scores/updates/{id}"));
    assert_eq!(text(&headers, "content-type"), "application/json");
    assert!(!headers.contains_key("idempotency-replayed"));
    assert!(!headers.contains_key("ratelimit"), "there is no limit to tell of");
    assert_eq!(app.status_when(&id, &["applied"]).await["id"], id);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_update_tells_everything_about_itself() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app.decided(1, 5).await;
    let request = app.request(Method::POST, "/scores/update").bearer_auth(writer(&app, "ann"));
    let request = request.header("X-Request-Id", "my-request.1").json(&json!({ "userId": 1, "increment": 10 }));
    let accepted: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    let id = accepted["id"].as_str().expect("an id");
    let mut status = app.status_when(id, &["applied"]).await;
    let time = |name: &str| humantime::parse_rfc3339(status[name].as_str().expect("a time")).expect("RFC 3339");
    assert!(time("acceptedAt") <= time("finishedAt"));
    let known = status.as_object_mut().expect("an object");
    known.remove("acceptedAt");
    known.remove("finishedAt");
    let expected = json!({
        "id": id, "status": "applied", "board": "main", "userId": 1, "increment": 10, "attempts": 1,
        "score": 15, "submitter": "ann", "requestId": "my-request.1",
    });
    assert_eq!(status, expected);
    let answer = app.request(Method::GET, &format!("/scores/updates/{id}")).bearer_auth(app.admin());
    assert_eq!(text(answer.send().await.expect("an answer").headers(), "cache-control"), "no-store");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_go_down_as_well_as_up() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    for (increment, score) in [(10, 10), (-4, 6), (-6, 0), (-1, -1), (SCORE_LIMIT, SCORE_LIMIT - 1), (1, SCORE_LIMIT)] {
        assert_eq!(app.decided(1, increment).await["score"], score);
    }
    assert_eq!(board(&app, "").await, [(1, 1, SCORE_LIMIT)], "exact at the limit");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_updates_at_once_are_all_applied_exactly_once() {
    let app = TestApp::start().await;
    let mut sums: HashMap<i64, i64> = HashMap::new();
    for user in 1..=7 {
        app.add_user(user).await;
    }
    let updates: Vec<(i64, i64)> = (0..200).map(|n| (n % 7 + 1, (n * n) % 23 - 9)).filter(|u| u.1 != 0).collect();
    for (user, increment) in &updates {
        *sums.entry(*user).or_default() += increment;
    }
    let ids = join_all(updates.iter().map(|(user, increment)| app.accepted(*user, *increment, None))).await;
    for id in &ids {
        app.status_when(id, &["applied"]).await;
    }
    let mut sorted: Vec<_> = sums.iter().map(|(user, sum)| (*sum, *user)).collect();
    sorted.sort_unstable_by_key(|(sum, user)| (-sum, *user));
    let rank = |sum: i64| 1 + sums.values().filter(|other| **other > sum).count() as u64;
    let mut rows = board(&app, "").await;
    // Who of equals was first is up to the race.
    rows.sort_unstable_by_key(|(rank, user, _)| (*rank, *user));
    assert_eq!(rows, sorted.iter().map(|(sum, user)| (rank(*sum), *user, *sum)).collect::<Vec<_>>());
    let metrics = &app.server.wiring.metrics;
    assert_eq!((metrics.applied.get(), metrics.duplicates.get()), (ids.len() as u64, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_an_unknown_user_is_recorded_as_rejected() {
    let app = TestApp::start().await;
    let status = app.decided(404, 10).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("rejected"), &json!("unknown-user")));
    assert!(status["detail"].as_str().is_some_and(|text| text.contains("POST /users")), "{status}");
    assert!(!keys(&status).contains(&"score") && keys(&status).contains(&"finishedAt"), "{status}");
    // Creating the user later does not bring it back; a new update counts.
    app.add_user(404).await;
    app.decided(404, 1).await;
    assert_eq!(board(&app, "").await, [(1, 404, 1)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_never_leaves_its_limits() {
    let app = TestApp::start().await;
    for user in 1..=2 {
        app.add_user(user).await;
    }
    for (user, limit, beyond) in [(1, SCORE_LIMIT, 1), (2, -SCORE_LIMIT, -1)] {
        assert_eq!(app.decided(user, limit).await["score"], limit);
        for amount in [beyond, limit] {
            let status = app.decided(user, amount).await;
            assert_eq!((&status["status"], &status["reason"]), (&json!("rejected"), &json!("score-overflow")));
            assert_eq!(status.get("score"), None);
        }
        assert_eq!(app.decided(user, -beyond).await["score"], limit - beyond, "the way back is open");
    }
    assert_eq!(board(&app, "").await, [(1, 1, SCORE_LIMIT - 1), (2, 2, 1 - SCORE_LIMIT)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_update_holds_up_no_other() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app.add_user(2).await;
    app.decided(2, SCORE_LIMIT).await;
    // All at once, so that good and bad ones share jobs and transactions.
    let ids = join_all((0..60).map(|n| app.accepted([1, 99, 2][n % 3], 1, None))).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for id in &ids {
        let status = app.status_when(id, &["applied", "rejected"]).await;
        *seen.entry(status["reason"].as_str().unwrap_or("applied").to_owned()).or_default() += 1;
    }
    let expected = [("applied", 20), ("unknown-user", 20), ("score-overflow", 20)];
    assert_eq!(seen, expected.map(|(reason, count)| (reason.to_owned(), count)).into());
    assert_eq!(board(&app, "").await, [(1, 2, SCORE_LIMIT), (2, 1, 20)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_submitter_and_an_admin_see_an_update() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let ann = writer(&app, "ann");
    let accepted = post(&app, "/scores/update", &ann, r#"{"userId":1,"increment":1}"#).await;
    let path = text(accepted.headers(), "location").to_owned();
    let ask = |token: String, path: String| {
        let request = app.request(Method::GET, &path).bearer_auth(token);
        async { request.send().await.expect("an answer") }
    };
    assert_eq!(ask(ann.clone(), path.clone()).await.status(), StatusCode::OK);
    assert_eq!(
        ask(app.token("ann", &[] as &[Scope]), path.clone()).await.status(),
        StatusCode::OK,
        "no scope is needed"
    );
    assert_eq!(ask(app.admin(), path.clone()).await.status(), StatusCode::OK);
    let everything_but_admin = app.token("bob", &[Scope::OwnScores, Scope::AnyScores, Scope::Users]);
    let other = refused(ask(everything_but_admin, path.clone()).await, 404, "not-found").await;
    let unknown = refused(ask(ann, "/scores/updates/01UNKNOWN.0".to_owned()).await, 404, "not-found").await;
    assert_eq!(other.detail(), unknown.detail(), "whether an id exists is its submitter's business");
    refused(app.get(&path).await, 401, "unauthorized").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_not_found() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let id = app.accepted(1, 1, None).await;
    app.status_when(&id, &["applied"]).await;
    let (job, _) = id.split_once('.').expect("a keyless id names its job");
    let long = "x".repeat(8_000);
    let neighbours = [format!("{job}.1"), format!("{job}."), job.to_owned(), format!("{id}x"), id.to_lowercase()];
    let garbage = ["..", "%00", "%2e%2e%2f", "%FF%FE", "%F0%9F%98%80", "'%20OR%201=1--", ".", "0", "%25", &long];
    for id in neighbours.iter().map(String::as_str).chain(garbage) {
        let token = app.admin();
        let head = format!("GET /scores/updates/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
        let answer = raw(&app, format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, 404, "{id}: {answer:?}");
        assert!(answer.body.contains("/problems/not-found"), "{answer:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_seen_in_every_place_once_it_is_applied() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app.accepted(1, 25, None).await;
    eventually("the board to show it", || async { (app.scores("").await == [(1, 1, 25)]).then_some(()) }).await;
    let user: Value = app.get("/users/1").await.json().await.expect("JSON");
    assert_eq!(user["standings"], json!([{ "board": "main", "score": 25, "rank": 1 }]));
    app.finish().await;
}
