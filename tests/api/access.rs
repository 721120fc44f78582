//! Access to streams: where a token may stand, what it covers, what it is good for, and whose cookies count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scorewire::http::auth::{Grant, Scope};
use scorewire::server;
use scorewire_core::settings::Overrides;
use scorewire_core::settings::units::{Maybe, Secret};
use serde_json::{Value, json};

use super::{post, raw, raw_status, refused, text};
use crate::support::{Stream, TestApp};

const STREAM: &str = "/scores/stream";
const SECRET: &str = "a secret of more than thirty-two bytes";

/// A server whose streams need a token.
async fn guarded(change: impl FnOnce(&mut Overrides)) -> TestApp {
    TestApp::with(|settings| {
        settings.streams = Some("token".parse().expect("a word"));
        settings.jwt_secret = Some(Maybe(Some(Secret(SECRET.to_owned()))));
        change(settings);
    })
    .await
}

/// A token for `ann` with words in its scope.
fn with_scope(app: &TestApp, scope: &str) -> String {
    let grants: Vec<Grant> = scope.split(' ').map(|word| word.parse().expect("a scope")).collect();
    let expires = SystemTime::now() + Duration::from_secs(600);
    server::tokens(&app.settings).expect("a secret").0.issue("ann", &grants, expires).expect("a token")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A stream token with claims of the test's choice.
fn forged(claims: &Value) -> String {
    let mut all = json!({ "sub": "ann", "scope": "stream:scores", "exp": now() + 600, "use": "stream" });
    for (name, value) in claims.as_object().expect("an object") {
        all[name] = value.clone();
    }
    encode(&Header::new(Algorithm::HS256), &all, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

/// A stream token as the server makes them.
async fn stream_token(app: &TestApp, token: &str, body: Value) -> String {
    let answer = post(app, "/stream-tokens", token, body.to_string()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let body: Value = answer.json().await.expect("JSON");
    body["token"].as_str().expect("a token").to_owned()
}

fn watch(app: &TestApp, query: &str) -> RequestBuilder {
    app.request(Method::GET, &format!("{STREAM}{query}"))
}

fn cookie(app: &TestApp, token: &str) -> RequestBuilder {
    watch(app, "").header("Cookie", format!("theme=dark; scorewire_token={token}"))
}

async fn answer(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Checks that a request is answered by the board's stream.
async fn streams(request: RequestBuilder) {
    let answer = answer(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer.headers(), "content-type").starts_with("text/event-stream"));
    Stream::new(answer).expect("snapshot").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_from_the_header_the_query_and_a_cookie() {
    let app = guarded(|_| {}).await;
    let token = with_scope(&app, "stream:scores");
    let short = stream_token(&app, &token, json!({})).await;
    streams(watch(&app, "").bearer_auth(&token)).await;
    streams(watch(&app, "").bearer_auth(&short)).await;
    streams(watch(&app, &format!("?access_token={short}"))).await;
    streams(cookie(&app, &token)).await;
    streams(cookie(&app, &short)).await;
    for scope in ["admin", "stream:*", "stream:s*s", "stream:match:* stream:scores"] {
        streams(watch(&app, "").bearer_auth(with_scope(&app, scope))).await;
    }
    let refusal = refused(app.get(STREAM).await, 401, "unauthorized").await;
    assert_eq!(refusal.header("www-authenticate"), "Bearer");
    assert!(refusal.detail().contains("POST /stream-tokens"), "{}", refusal.detail());
    for scope in ["scores:write:any", "stream:match:*", "stream:score", "users:write stream:scores:*"] {
        let answer = answer(watch(&app, "").bearer_auth(with_scope(&app, scope))).await;
        let refusal = refused(answer, 403, "forbidden").await;
        assert!(refusal.detail().contains("stream:scores"), "{}", refusal.detail());
    }
    assert_eq!(app.get("/scores").await.status(), StatusCode::OK, "only streams are guarded");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_wins_over_the_query_and_the_query_over_the_cookie() {
    let app = guarded(|_| {}).await;
    let good = with_scope(&app, "stream:scores");
    let narrow = with_scope(&app, "stream:match:*");
    let good_short = stream_token(&app, &good, json!({})).await;
    let narrow_short = stream_token(&app, &narrow, json!({})).await;
    let all = |header: &str, query: &str, in_cookie: &str| {
        let request = watch(&app, &format!("?access_token={query}")).bearer_auth(header);
        request.header("Cookie", format!("scorewire_token={in_cookie}"))
    };
    streams(all(&good, &narrow_short, "garbage")).await;
    refused(answer(all(&narrow, &good_short, &good)).await, 403, "forbidden").await;
    let two = |query: &str, in_cookie: &str| {
        watch(&app, &format!("?access_token={query}")).header("Cookie", format!("scorewire_token={in_cookie}"))
    };
    streams(two(&good_short, &narrow)).await;
    refused(answer(two(&narrow_short, &good)).await, 403, "forbidden").await;
    refused(answer(two("garbage", &good)).await, 401, "unauthorized").await;
    let basic = cookie(&app, &good).header("Authorization", "Basic YTpi");
    refused(answer(basic).await, 401, "unauthorized").await;
    let twice = watch(&app, &format!("?access_token={good_short}&access_token={good_short}"));
    refused(answer(twice).await, 400, "invalid-request").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_streams_need_no_token_but_a_bad_one_is_not_overlooked() {
    let app = TestApp::start().await;
    streams(watch(&app, "")).await;
    let token = app.token("ann", &[Scope::OwnScores]);
    streams(watch(&app, "").bearer_auth(&token)).await;
    let short = stream_token(&app, &token, json!({ "topics": ["anything:*", "scores"] })).await;
    streams(watch(&app, &format!("?access_token={short}"))).await;
    for bad in [watch(&app, "").bearer_auth("x"), watch(&app, "?access_token=x"), watch(&app, "?access_token=")] {
        refused(answer(bad).await, 401, "unauthorized").await;
    }
    refused(answer(cookie(&app, "x")).await, 401, "unauthorized").await;
    let narrow = stream_token(&app, &token, json!({ "topics": ["match:*"] })).await;
    streams(watch(&app, &format!("?access_token={narrow}"))).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_says_what_it_is_good_for_and_until_when() {
    let app = guarded(|settings| settings.stream_token_life = Some("90s".parse().expect("a time"))).await;
    let token = with_scope(&app, "stream:match:* stream:scores");
    let answer = app.request(Method::POST, "/stream-tokens").bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED, "the body may be left out");
    assert_eq!(text(answer.headers(), "cache-control"), "no-store");
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["topics"], json!(["match:*", "scores"]));
    let expires = body["expiresAt"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok()).expect("RFC 3339");
    let left = expires.duration_since(SystemTime::now()).expect("in the future").as_secs();
    assert!((60..=90).contains(&left), "{left} s");

    let narrowed = post(&app, "/stream-tokens", &token, r#"{"topics":["match:7*"]}"#).await;
    let body: Value = narrowed.json().await.expect("JSON");
    assert_eq!(body["topics"], json!(["match:7*"]));
    let narrow = body["token"].as_str().expect("a token");
    refused(self::answer(watch(&app, &format!("?access_token={narrow}"))).await, 403, "forbidden").await;

    let admin = post(&app, "/stream-tokens", &app.admin(), r#"{"topics":["a*b","scores"]}"#).await;
    assert_eq!(admin.status(), StatusCode::CREATED);
    let ending = forged(&json!({ "use": null, "exp": now() + 20 }));
    let body: Value = post(&app, "/stream-tokens", &ending, "{}").await.json().await.expect("JSON");
    let expires = body["expiresAt"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok()).expect("RFC 3339");
    assert!(expires <= SystemTime::now() + Duration::from_secs(20), "no longer than the token it is made with");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_is_never_wider_than_the_token_it_is_made_with() {
    let app = guarded(|_| {}).await;
    let token = with_scope(&app, "stream:match:*");
    for wider in ["*", "scores", "m*", "match:7\",\"*", "*:7"] {
        let answer = post(&app, "/stream-tokens", &token, format!("{{\"topics\":[\"{wider}\"]}}")).await;
        let refusal = refused(answer, 403, "forbidden").await;
        assert!(refusal.detail().contains("needs the scope stream:"), "{}", refusal.detail());
    }
    refused(post(&app, "/stream-tokens", &app.token("ann", &[Scope::AnyScores]), "").await, 403, "forbidden").await;
    for shape in [r#"{"topics":[]}"#, r#"{"topics":["a b"]}"#, r#"{"topics":"scores"}"#, r#"{"topic":["scores"]}"#] {
        refused(post(&app, "/stream-tokens", &token, shape).await, 422, "invalid-body").await;
    }
    refused(post(&app, "/stream-tokens", &token, "{").await, 400, "invalid-json").await;
    let untyped = app.request(Method::POST, "/stream-tokens").bearer_auth(&token).body(r#"{"topics":["match:1"]}"#);
    refused(answer(untyped).await, 415, "unsupported-media-type").await;
    refused(answer(app.request(Method::POST, "/stream-tokens")).await, 401, "unauthorized").await;
    refused(app.get("/stream-tokens").await, 405, "method-not-allowed").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_is_good_for_nothing_else() {
    let app = guarded(|_| {}).await;
    let stream = forged(&json!({ "scope": "admin scores:write:any users:write stream:scores" }));
    streams(watch(&app, &format!("?access_token={stream}"))).await;
    for (method, path) in [
        (Method::POST, "/stream-tokens"),
        (Method::POST, "/scores/update"),
        (Method::GET, "/users"),
        (Method::GET, "/admin/jobs"),
        (Method::POST, "/admin/rebuild"),
    ] {
        let request = app.request(method, path).bearer_auth(&stream).json(&json!({ "userId": 1, "increment": 1 }));
        let refusal = refused(answer(request).await, 403, "forbidden").await;
        assert!(refusal.detail().contains("good for streams only"), "{path}: {}", refusal.detail());
    }
    let only_admin = forged(&json!({ "scope": "admin" }));
    refused(answer(watch(&app, &format!("?access_token={only_admin}"))).await, 403, "forbidden").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_use_or_time_do_not_open_streams() {
    let app = guarded(|_| {}).await;
    let long = with_scope(&app, "stream:scores");
    let refusal = refused(answer(watch(&app, &format!("?access_token={long}"))).await, 401, "unauthorized").await;
    assert!(refusal.detail().contains("only a stream token may stand in a URL"), "{}", refusal.detail());
    for (claims, said) in [
        (json!({ "exp": now() - 60 }), "expired"),
        (json!({ "nbf": now() + 60 }), "not valid yet"),
        (json!({ "use": "refresh" }), "another use"),
        (json!({ "use": "" }), "another use"),
        (json!({ "use": 7 }), "not one this server signed"),
    ] {
        let token = forged(&claims);
        for request in [watch(&app, &format!("?access_token={token}")), cookie(&app, &token)] {
            let refusal = refused(answer(request).await, 401, "unauthorized").await;
            assert!(refusal.detail().contains(said), "{claims}: {}", refusal.detail());
            assert_eq!(refusal.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_take_no_token_from_the_query_or_a_cookie() {
    let app = guarded(|_| {}).await;
    let (admin, short) = (app.admin(), forged(&json!({ "scope": "stream:* admin" })));
    for path in ["/scores/update", "/users", "/stream-tokens", "/admin/rebuild"] {
        for token in [&admin, &short] {
            let request = app.request(Method::POST, &format!("{path}?access_token={token}"));
            let request = request.header("Cookie", format!("scorewire_token={token}"));
            refused(answer(request.json(&json!({}))).await, 401, "unauthorized").await;
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_counts_only_on_trusted_pages() {
    let app = guarded(|settings| {
        settings.cors_origins = Some("*, https://*.example.com".parse().expect("a list"));
    })
    .await;
    let token = with_scope(&app, "stream:scores");
    let own = format!("http://{}", app.server.address);
    for origin in [own.as_str(), "https://app.example.com"] {
        streams(cookie(&app, &token).header("Origin", origin)).await;
    }
    for origin in ["https://evil.example", "https://example.com.evil.example", "https://example.com", "null", &own[7..]]
    {
        let refusal =
            refused(answer(cookie(&app, &token).header("Origin", origin)).await, 403, "origin-not-allowed").await;
        assert!(refusal.detail().contains("cors_origins"), "{}", refusal.detail());
        streams(watch(&app, "").bearer_auth(&token).header("Origin", origin)).await;
    }
    let public = TestApp::start().await;
    let ignored =
        watch(&public, "").header("Cookie", "scorewire_token=garbage").header("Origin", "https://evil.example");
    streams(ignored).await;
    public.finish().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_allowed_to_named_origins_alone() {
    let app = guarded(|settings| {
        settings.cors_origins = Some("https://*.example.com, http://localhost:8080".parse().expect("a list"));
    })
    .await;
    for method in [Method::GET, Method::OPTIONS, Method::HEAD] {
        for origin in ["https://app.example.com", "https://a.b.example.com", "http://localhost:8080"] {
            let answer = answer(app.request(method.clone(), STREAM).header("Origin", origin)).await;
            assert_eq!(text(answer.headers(), "access-control-allow-origin"), origin);
            assert_eq!(text(answer.headers(), "access-control-allow-credentials"), "true");
            assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "Origin"));
        }
        for origin in ["https://example.com.evil.org", "https://example.com", "http://app.example.com", "null"] {
            let answer = answer(app.request(method.clone(), STREAM).header("Origin", origin)).await;
            assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
            assert!(!answer.headers().contains_key("access-control-allow-credentials"), "{origin}");
            assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "Origin"));
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options_of_a_stream_answer_without_one() {
    let app = guarded(|_| {}).await;
    let token = with_scope(&app, "stream:scores");
    let lines = |method: &str, token: &str| {
        format!("{method} {STREAM} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(raw(&app, lines("HEAD", "x").as_bytes()).await.status, 401);
    let answer = raw(&app, lines("HEAD", &token).as_bytes()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let answer = raw(&app, lines("OPTIONS", "x").as_bytes()).await;
    assert_eq!(answer.status, 204);
    assert!(answer.head.contains("allow: get, head, options"), "{}", answer.head);
    assert_eq!(raw_status(&app, lines("GET", &token).as_bytes()).await, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_too_many_streams_is_told_to_come_back_later() {
    let app = TestApp::with(|settings| settings.rate_limit_streams = Some("2/1h".parse().expect("a rate"))).await;
    streams(watch(&app, "")).await;
    streams(watch(&app, "")).await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let answer = answer(watch(&app, "")).await;
        assert_eq!(answer.status(), StatusCode::OK, "an EventSource gives up on anything else");
        assert!(text(answer.headers(), "content-type").starts_with("text/event-stream"));
        let body = answer.text().await.expect("an end");
        let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
        assert_eq!(line("event:"), Some("close"), "{body}");
        let data: Value = serde_json::from_str(line("data:").expect("data")).expect("JSON");
        assert_eq!(data, json!({ "code": 1013, "reason": "try-later", "reconnect": true }));
        assert_eq!(line("id:"), None, "its place is kept");
        waits.push(line("retry:").and_then(|wait| wait.parse::<u64>().ok()).expect("a time"));
    }
    assert!(waits.iter().all(|wait| (1_790_000..=1_810_000).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait / 100 != waits[0] / 100), "not all at once: {waits:?}");
    app.finish().await;
}
