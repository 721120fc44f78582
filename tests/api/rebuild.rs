//! `POST /admin/rebuild`: the board from the ledger, and scores that the ledger's updates do not add up to.

use reqwest::{Method, StatusCode};
use scorewire::http::auth::Scope;
use serde_json::{Value, json};

use super::refused;
use crate::support::{Books, TestApp, eventually};

async fn rebuilt(app: &TestApp, query: &str) -> Value {
    let request = app.request(Method::POST, &format!("/admin/rebuild{query}")).bearer_auth(app.admin());
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_board_is_the_ledgers_and_its_viewers_begin_again() {
    let app = TestApp::start().await;
    for id in 1..=3 {
        app.add_user(id).await;
        app.decided(id, id * 10).await;
    }
    app.settled().await;
    let before = app.scores("").await;
    let mut viewer = app.stream("", None).await;
    viewer.expect("snapshot").await;
    assert_eq!(rebuilt(&app, "").await, json!({ "board": "main", "users": 3 }));
    assert_eq!(viewer.expect("reset").await.data["reason"], "epoch-changed");
    viewer.expect("snapshot").await;
    assert_eq!(app.scores("").await, before);
    app.decided(1, 100).await;
    assert_eq!(viewer.expect("update").await.data["score"], 110);
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_that_its_updates_do_not_add_up_to_is_named() {
    let app = TestApp::start().await;
    for id in [1, 2] {
        app.add_user(id).await;
        app.decided(id, 7).await;
        app.decided(id, -2).await;
    }
    app.settled().await;
    let sound = json!({ "wrong": [], "undecidable": 0 });
    assert_eq!(rebuilt(&app, "?verify=true").await["verified"], sound);
    Books::of(&app.settings).tamper_with_user(2, 99).await;
    let found = rebuilt(&app, "?verify=true").await;
    assert_eq!(found["verified"]["wrong"], json!([{ "userId": 2, "score": 99, "recorded": 5 }]));
    eventually("the board of the ledger", || async { (app.scores("").await == [(1, 2, 99), (2, 1, 5)]).then_some(()) })
        .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilding_needs_an_administrator_and_a_plain_query() {
    let app = TestApp::start().await;
    let token = app.token("7", &[Scope::AnyScores, Scope::Users]);
    for (token, query, status, slug) in [
        (token, "", 403, "forbidden"),
        (app.admin(), "?verify=perhaps", 400, "invalid-request"),
        (app.admin(), "?board=other", 400, "invalid-request"),
    ] {
        let request = app.request(Method::POST, &format!("/admin/rebuild{query}")).bearer_auth(token);
        refused(request.send().await.expect("an answer"), status, slug).await;
    }
    app.finish().await;
}
