//! Tokens: HS256 with our secret, in time, complete; everything else is refused on every protected path alike.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, Response, StatusCode};
use scorewire::http::auth::Scope;
use scorewire::server::Server;
use scorewire_core::settings::units::{Maybe, Secret};
use scorewire_core::settings::{Overrides, Settings, SettingsFile};
use serde_json::{Value, json};

use super::{post, refused, text};
use crate::support::TestApp;

const SECRET: &str = "a secret of more than thirty-two bytes";

fn secret(text: &str) -> Option<Maybe<Secret>> {
    Some(Maybe(Some(Secret(text.to_owned()))))
}

async fn app_with(change: impl FnOnce(&mut Overrides)) -> TestApp {
    let app = TestApp::with(|settings| {
        settings.jwt_secret = secret(SECRET);
        change(settings);
    })
    .await;
    app.add_user(1).await;
    app
}

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now.cast_signed() + seconds
}

/// A token as its claims say, signed with a secret.
fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

fn claims() -> Value {
    json!({ "sub": "ann", "scope": "scores:write:any", "exp": seconds_from_now(600) })
}

/// The usual claims with some changed; `null` takes one away.
fn token(changes: Value) -> String {
    let mut claims = claims();
    let object = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        object.remove(name);
        if !value.is_null() {
            object.insert(name.clone(), value.clone());
        }
    }
    signed(&claims, Algorithm::HS256, SECRET)
}

async fn send(app: &TestApp, method: Method, path: &str, authorization: &str) -> Response {
    let request = app.request(method, path).header("Authorization", authorization);
    request.json(&json!({ "userId": 1, "increment": 1 })).send().await.expect("an answer")
}

async fn update(app: &TestApp, token: &str) -> Response {
    send(app, Method::POST, "/scores/update", &format!("Bearer {token}")).await
}

/// Every path a token protects refuses this header.
async fn refused_everywhere(app: &TestApp, authorization: &str) {
    let protected = [
        (Method::POST, "/scores/update"),
        (Method::GET, "/scores/updates/01J.0"),
        (Method::POST, "/users"),
        (Method::GET, "/users"),
    ];
    for (method, path) in protected {
        let refusal = refused(send(app, method, path, authorization).await, 401, "unauthorized").await;
        assert_eq!(refusal.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{authorization}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_answer_says_which_kind_is_needed() {
    let app = app_with(|_| {}).await;
    for (method, path) in [(Method::POST, "/scores/update"), (Method::POST, "/users"), (Method::GET, "/users")] {
        // Who may not write need not be read: the body is not looked at.
        let answer = app.request(method, path).body("garbage").send().await.expect("an answer");
        let refusal = refused(answer, 401, "unauthorized").await;
        assert_eq!(refusal.header("www-authenticate"), "Bearer");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ours_is_taken_whatever_the_case_of_its_scheme() {
    let app = app_with(|_| {}).await;
    let good = token(json!({}));
    for authorization in [format!("Bearer {good}"), format!("bearer {good}"), format!("BEARER   {good}")] {
        let answer = send(&app, Method::POST, "/scores/update", &authorization).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{authorization}");
    }
    // Clocks differ a little: five seconds are forgiven.
    let fresh = token(json!({ "nbf": seconds_from_now(2) }));
    assert_eq!(update(&app, &fresh).await.status(), StatusCode::ACCEPTED);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_out_of_its_time_is_refused() {
    let app = app_with(|_| {}).await;
    for (changes, word) in [
        (json!({ "exp": seconds_from_now(-60) }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "nbf": seconds_from_now(60) }), "not valid yet"),
    ] {
        let refusal = refused(update(&app, &token(changes.clone())).await, 401, "unauthorized").await;
        assert!(refusal.detail().contains(word), "{changes}: {}", refusal.detail());
        refused_everywhere(&app, &format!("Bearer {}", token(changes))).await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_what_it_needs_is_refused() {
    let app = app_with(|_| {}).await;
    for changes in [
        json!({ "exp": null }),
        json!({ "sub": null }),
        json!({ "exp": "tomorrow" }),
        json!({ "exp": -5 }),
        json!({ "sub": 1 }),
        json!({ "sub": ["ann"] }),
        json!({ "scope": ["admin"] }),
        json!({ "scope": 7 }),
    ] {
        refused_everywhere(&app, &format!("Bearer {}", token(changes))).await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_is_refused() {
    let app = app_with(|_| {}).await;
    let good = token(json!({}));
    let better = token(json!({ "scope": "admin" }));
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!("three parts: {good}") };
    let admin_payload = better.split('.').nth(1).expect("a payload");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    // {"typ":"JWT","alg":"none"} and {"typ":"JWT","alg":"None"}
    let none = ["eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0", "eyJ0eXAiOiJKV1QiLCJhbGciOiJOb25lIn0"];
    let forged = [
        format!("{header}.{admin_payload}.{signature}"),
        format!("{header}.{payload}.{first}{}", &signature[1..]),
        format!("{header}.{payload}.{}", &signature[..signature.len() - 2]),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{good}.{signature}"),
        format!("{}.{payload}.", none[0]),
        format!("{}.{payload}", none[0]),
        format!("{}.{payload}.{signature}", none[1]),
        signed(&claims(), Algorithm::HS512, SECRET),
        signed(&claims(), Algorithm::HS384, SECRET),
        signed(&claims(), Algorithm::HS256, "another secret of more than thirty-two bytes"),
        signed(&claims(), Algorithm::HS256, ""),
    ];
    for token in forged {
        refused_everywhere(&app, &format!("Bearer {token}")).await;
    }
    assert_eq!(update(&app, &good).await.status(), StatusCode::ACCEPTED, "the pieces were good ones");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_carries_no_token_is_refused() {
    let app = app_with(|_| {}).await;
    let good = token(json!({}));
    let long = format!("Bearer {}", "a".repeat(4_000));
    let garbage = ["Bearer", "Bearer x", "Bearer .", "Bearer ..", "Bearer a.b.c", "x", "", "Basic YTpi", &long];
    for authorization in garbage {
        refused_everywhere(&app, authorization).await;
    }
    for wrapped in [good.clone(), format!("Token {good}"), format!("Bearer:{good}"), format!("Bearer {good} {good}")] {
        refused_everywhere(&app, &wrapped).await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_score_is_that_of_the_subject_and_no_other() {
    let app = app_with(|_| {}).await;
    app.add_user(2).await;
    let body = |user: &str| format!(r#"{{"userId":{user},"increment":1}}"#);
    let own = app.token("1", &[Scope::OwnScores]);
    assert_eq!(post(&app, "/scores/update", &own, body("1")).await.status(), StatusCode::ACCEPTED);
    let refusal = refused(post(&app, "/scores/update", &own, body("2")).await, 403, "forbidden").await;
    assert!(refusal.detail().contains("scores:write:any"), "{}", refusal.detail());
    for near in ["01", " 1", "1 ", "+1", "1.0", "user 1"] {
        let token = app.token(near, &[Scope::OwnScores]);
        refused(post(&app, "/scores/update", &token, body("1")).await, 403, "forbidden").await;
    }
    for nobody in ["", "a\0b", &"x".repeat(129)] {
        let token = app.token(nobody, &[Scope::OwnScores, Scope::AnyScores]);
        refused(post(&app, "/scores/update", &token, body("1")).await, 401, "unauthorized").await;
    }
    let any = app.token("1", &[Scope::AnyScores]);
    assert_eq!(post(&app, "/scores/update", &any, body("2")).await.status(), StatusCode::ACCEPTED);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_a_whole_word() {
    let app = app_with(|_| {}).await;
    for scope in
        ["", "users:write", "scores:write", "SCORES:WRITE:ANY", "scores:write:anything", "administrator", "scores"]
    {
        refused(update(&app, &token(json!({ "scope": scope }))).await, 403, "forbidden").await;
    }
    refused(update(&app, &token(json!({ "scope": null }))).await, 403, "forbidden").await;
    for scope in ["scores:write:any", "openid scores:write:any email", "admin"] {
        assert_eq!(update(&app, &token(json!({ "scope": scope }))).await.status(), StatusCode::ACCEPTED, "{scope}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audience_and_issuer_count_where_they_are_configured() {
    let app = app_with(|settings| {
        settings.jwt_audience = Some(Maybe(Some("scorewire".to_owned())));
        settings.jwt_issuer = Some(Maybe(Some("https://login.example".to_owned())));
    })
    .await;
    let with = |aud: Value, iss: Value| token(json!({ "aud": aud, "iss": iss }));
    let issuer = || json!("https://login.example");
    for aud in [json!("scorewire"), json!(["other", "scorewire"])] {
        assert_eq!(update(&app, &with(aud, issuer())).await.status(), StatusCode::ACCEPTED);
    }
    for (aud, iss, word) in [
        (json!("other"), issuer(), "audience"),
        (json!(["a", "b"]), issuer(), "audience"),
        (json!("scorewire"), json!("https://evil.example"), "issuer"),
        (Value::Null, issuer(), "claim"),
        (json!("scorewire"), Value::Null, "claim"),
    ] {
        let refusal = refused(update(&app, &with(aud, iss)).await, 401, "unauthorized").await;
        assert!(refusal.detail().contains(word), "{word}: {}", refusal.detail());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audience_and_issuer_are_ignored_where_they_are_not_configured() {
    let app = app_with(|_| {}).await;
    let token = token(json!({ "aud": "anything", "iss": "anybody" }));
    assert_eq!(update(&app, &token).await.status(), StatusCode::ACCEPTED);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_secret_refuses_to_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for short in ["too short", "thirty-one bytes are not enough"] {
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            data_dir: Some(dir.path().join("data")),
            jwt_secret: secret(short),
            ..Overrides::default()
        };
        let settings = Settings::resolve(overrides, &SettingsFile::default()).expect("valid settings");
        let Err(error) = Server::start(settings, Vec::new()).await else { panic!("started with {short:?}") };
        let said = error.to_string();
        assert!(said.contains("JWT_SECRET") && said.contains("32") && !said.contains(short), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_made_at_the_first_start_serves_the_next_one() {
    let app = TestApp::start().await;
    let token = app.admin();
    let storage = app.finish().await;
    let app = TestApp::on(storage, |_| {}).await;
    assert!(!app.server.new_secret);
    let answer = app.request(Method::GET, "/users").bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "content-type"), "application/json");
    app.finish().await;
}
