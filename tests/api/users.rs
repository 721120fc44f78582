//! `/users`: creating, finding and listing those who can hold a score.

use std::collections::HashSet;

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use scorewire::http::auth::Scope;
use scorewire_core::domain::SCORE_LIMIT;
use serde_json::{Value, json};

use super::{board, post, refused, text};
use crate::support::TestApp;

async fn create(app: &TestApp, body: &Value) -> Response {
    post(app, "/users", &app.token("registrar", &[Scope::Users]), body.to_string()).await
}

async fn list(app: &TestApp, query: &str) -> Vec<i64> {
    let request =
        app.request(Method::GET, &format!("/users{query}")).bearer_auth(app.token("registrar", &[Scope::Users]));
    let users: Vec<Value> = request.send().await.expect("an answer").json().await.expect("JSON");
    users.iter().map(|user| user["id"].as_i64().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_stands_on_the_board_with_nothing() {
    let app = TestApp::start().await;
    let answer = create(&app, &json!({ "id": 7, "name": "Grace" })).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(text(answer.headers(), "location"), "/users/7");
    let user: Value = answer.json().await.expect("JSON");
    let created_at = user["createdAt"].as_str().expect("a time").to_owned();
    humantime::parse_rfc3339(&created_at).expect("RFC 3339");
    assert_eq!(user, json!({ "id": 7, "name": "Grace", "createdAt": created_at }));
    let standings = json!([{ "board": "main", "score": 0, "rank": 1 }]);
    let found: Value = app.get("/users/7").await.json().await.expect("JSON");
    assert_eq!(found, json!({ "id": 7, "name": "Grace", "createdAt": created_at, "standings": standings }));
    assert_eq!(board(&app, "").await, [(1, 7, 0)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_user_again_changes_nothing() {
    let app = TestApp::start().await;
    let grace = json!({ "id": 7, "name": "Grace" });
    let first: Value = create(&app, &grace).await.json().await.expect("JSON");
    app.decided(7, 5).await;
    let again = create(&app, &grace).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.expect("JSON"), first);
    refused(create(&app, &json!({ "id": 7, "name": "Ada" })).await, 409, "user-exists").await;
    assert_eq!(board(&app, "").await, [(1, 7, 5)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_the_next_free_one_is_given() {
    let app = TestApp::start().await;
    app.add_user(2).await;
    let mut ids = Vec::new();
    for name in ["Ada", "Ada", "Ada"] {
        let answer = create(&app, &json!({ "name": name })).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "a name may occur twice");
        ids.push(answer.json::<Value>().await.expect("JSON")["id"].as_i64().expect("an id"));
    }
    assert_eq!(ids, [1, 3, 4], "an id that somebody asked for is skipped");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_every_id_is_given_once() {
    let app = TestApp::start().await;
    let same = json!({ "id": 5, "name": "Grace" });
    let answers = join_all((0..20).map(|_| create(&app, &same))).await;
    let count = |status| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::OK)), (1, 19));
    let any = json!({ "name": "Ada" });
    let mut ids = HashSet::new();
    for answer in join_all((0..20).map(|_| create(&app, &any))).await {
        ids.insert(answer.json::<Value>().await.expect("JSON")["id"].as_i64().expect("an id"));
    }
    assert_eq!(ids.len(), 20);
    assert_eq!(board(&app, "?limit=100").await.len(), 21);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_back_as_they_were_given() {
    let app = TestApp::start().await;
    let longest = "é".repeat(100);
    for name in ["李小龍", "Zoë 🦀", "<script>alert(1)</script>", "a\"b\\c", "O'Brien; DROP TABLE users", &longest]
    {
        let user: Value = create(&app, &json!({ "name": name })).await.json().await.expect("JSON");
        assert_eq!(user["name"], name);
        let found: Value = app.get(&format!("/users/{}", user["id"])).await.json().await.expect("JSON");
        assert_eq!(found["name"], name);
    }
    let trimmed: Value = create(&app, &json!({ "name": "  Ada \n" })).await.json().await.expect("JSON");
    assert_eq!(trimmed["name"], "Ada");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_can_not_be_is_refused_with_the_field_to_blame() {
    let app = TestApp::start().await;
    let cases = [
        (json!({ "name": "" }), "name"),
        (json!({ "name": " \t " }), "name"),
        (json!({ "name": "a\nb" }), "name"),
        (json!({ "name": "a\u{0}b" }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "name": 7 }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "id": 0, "name": "Ada" }), "id"),
        (json!({ "id": -1, "name": "Ada" }), "id"),
        (json!({ "id": SCORE_LIMIT + 1, "name": "Ada" }), "id"),
        (json!({ "id": 1.5, "name": "Ada" }), "id"),
        (json!({ "id": "1", "name": "Ada" }), "id"),
        (json!({ "name": "Ada", "score": 5 }), "score"),
        (json!({ "id": 1 }), "body"),
        (json!("Ada"), "body"),
    ];
    for (body, field) in cases {
        let refusal = refused(create(&app, &body).await, 422, "invalid-body").await;
        assert_eq!(refusal.field(), Some(field), "{body}: {}", refusal.body);
    }
    assert_eq!(board(&app, "").await, []);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_no_user_whatever_it_holds() {
    let app = TestApp::start().await;
    for body in [json!([]), json!([null, "Ada"]), json!([1, "Ada"]), json!([{ "name": "Ada" }])] {
        let refusal = refused(create(&app, &body).await, 422, "invalid-body").await;
        assert_eq!(refusal.field(), Some("body"), "{body}: {}", refusal.body);
    }
    assert_eq!(board(&app, "").await, []);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_found_under_an_id_that_is_none() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    for id in ["2", "0", "-1", "1.0", "x", "1%00", "9007199254740992", "99999999999999999999", "%E2%91%A0"] {
        refused(app.get(&format!("/users/{id}")).await, 404, "not-found").await;
    }
    assert_eq!(app.get(&format!("/users/{SCORE_LIMIT}")).await.status(), StatusCode::NOT_FOUND);
    create(&app, &json!({ "id": SCORE_LIMIT, "name": "Last" })).await;
    assert_eq!(app.get(&format!("/users/{SCORE_LIMIT}")).await.status(), StatusCode::OK, "the largest id");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_one_spelling() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    for id in ["+1", "01", "0001", "%31%20"] {
        refused(app.get(&format!("/users/{id}")).await, 404, "not-found").await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_by_id_a_hundred_at_a_time() {
    let app = TestApp::start().await;
    let names: Vec<_> = (0..103).map(|n| json!({ "name": format!("n{n}") })).collect();
    join_all(names.iter().map(|body| create(&app, body))).await;
    assert_eq!(list(&app, "").await, (1..=100).collect::<Vec<_>>());
    assert_eq!(list(&app, "?after=100").await, [101, 102, 103]);
    assert_eq!(list(&app, "?after=103").await, [0; 0]);
    let registrar = app.token("registrar", &[Scope::Users]);
    for query in ["after=0", "after=-1", "after=x", "after=", "limit=3", "after=9007199254740992"] {
        let request = app.request(Method::GET, &format!("/users?{query}")).bearer_auth(&registrar);
        refused(request.send().await.expect("an answer"), 400, "invalid-request").await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_and_listing_need_the_scope() {
    let app = TestApp::start().await;
    let others = app.token("1", &[Scope::OwnScores, Scope::AnyScores]);
    let refusal = refused(post(&app, "/users", &others, r#"{"name":"Ada"}"#).await, 403, "forbidden").await;
    assert!(refusal.detail().contains("users:write"), "{}", refusal.detail());
    let list = app.request(Method::GET, "/users").bearer_auth(&others).send().await.expect("an answer");
    refused(list, 403, "forbidden").await;
    refused(app.get("/users").await, 401, "unauthorized").await;
    assert_eq!(post(&app, "/users", &app.admin(), r#"{"name":"Ada"}"#).await.status(), StatusCode::CREATED);
    app.finish().await;
}
