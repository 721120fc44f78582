//! Random bodies, paths, queries and headers from a fixed seed: no client error is ever the server's fault.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::{post, raw_status, ready};
use crate::support::{Deployment, Storage, TestApp};

/// Draws values from a strategy, the same ones every time.
fn draw<T: std::fmt::Debug>(count: usize, strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(any_key(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![Just("userId".to_owned()), Just("increment".to_owned()), Just("name".to_owned()), any::<String>()]
}

/// JSON that is nearly an update.
fn nearly_an_update() -> impl Strategy<Value = Value> {
    let small = prop_oneof![(-2_i64..4).prop_map(Value::from), any_json()];
    (small.clone(), small).prop_map(|(user, increment)| json!({ "userId": user, "increment": increment }))
}

/// What may stand in a request line without ending it.
fn any_target() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "/",
        "/scores",
        "/scores?",
        "/scores?limit=",
        "/scores?offset=",
        "/scores/stream?since=",
        "/scores/stream?last_event_id=",
        "/scores/updates/",
        "/users/",
        "/admin/jobs/",
        "/admin/jobs?after=",
        "/users?after=",
        "/feeds/",
        "/feeds/match/history?",
        "/feeds/match/history?after=",
        "/feeds/match/stream?",
        "/feeds/match/requests?after=",
        "/fetches/",
        "/stream?since=",
        "/assets/",
        "/problems/",
        "//",
        "/..",
        "*",
        "http://x/",
        "",
    ]);
    let rest = prop::collection::vec(prop_oneof![4 => 0x21_u8..0x7f, 1 => 0x80_u8..=0xff], 0..40);
    (start, rest).prop_map(|(start, rest)| [start.as_bytes(), &rest].concat())
}

/// Bytes a header may carry.
fn any_header() -> impl Strategy<Value = HeaderValue> {
    let bytes = prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..60);
    bytes.prop_map(|bytes| HeaderValue::from_bytes(&bytes).expect("bytes a header may carry"))
}

/// The server answers as on the first day.
async fn still_well(app: TestApp) {
    assert_eq!(app.get("/healthz").await.status(), 200);
    ready(&app).await;
    app.add_user(1_000_000).await;
    assert_eq!(app.decided(1_000_000, 1).await["status"], "applied");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_too_strange() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let bytes = draw(150, prop::collection::vec(any::<u8>(), 0..200));
    let json = draw(150, any_json()).into_iter().chain(draw(150, nearly_an_update()));
    for body in bytes.into_iter().chain(json.map(|value| value.to_string().into_bytes())) {
        for path in ["/scores/update", "/users"] {
            let answer = post(&app, path, &app.admin(), body.clone()).await;
            let status = answer.status();
            assert!(!status.is_server_error(), "{path} {status}: {:?}", String::from_utf8_lossy(&body));
        }
    }
    still_well(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_or_query_is_too_strange() {
    let feed = "[[feeds]]\nname = \"match\"\nurl = \"http://127.0.0.1:1/\"\nfetch_every = \"1h\"";
    let app = TestApp::with_feeds(Storage::empty(Deployment::of_this_run()).await, feed, |_| {}).await;
    let token = app.admin();
    let methods = draw(300, prop::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PRI", "CONNECT"]));
    for (method, target) in methods.into_iter().zip(draw(300, any_target())) {
        let head = format!(" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        let request = [method.as_bytes(), b" ", &target, head.as_bytes()].concat();
        let status = raw_status(&app, &request).await;
        assert!((200..500).contains(&status), "{status}: {:?}", String::from_utf8_lossy(&request));
    }
    still_well(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_is_too_strange() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let names = [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "X-Request-Id",
        "X-Forwarded-For",
        "If-None-Match",
        "Origin",
        "Last-Event-ID",
        "Accept",
        "Cookie",
        "Access-Control-Request-Method",
    ];
    for (n, value) in draw(250, any_header()).into_iter().enumerate() {
        let name = names[n % names.len()];
        for (method, path) in [(Method::POST, "/scores/update"), (Method::GET, "/scores"), (Method::OPTIONS, "/users")]
        {
            let mut request = app.request(method, path).header(name, value.clone());
            if name != "Authorization" {
                request = request.bearer_auth(app.admin());
            }
            let status = request.body(r#"{"userId":1,"increment":1}"#).send().await.expect("an answer").status();
            assert!(!status.is_server_error(), "{path} {status}: {name}: {value:?}");
        }
    }
    still_well(app).await;
}
