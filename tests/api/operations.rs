//! What every path has in common (methods, request ids, 404), and the paths for those who run the server.

use std::collections::HashMap;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{ready, refused, text};
use crate::support::TestApp;

/// Every path of the API with the methods it has.
const PATHS: [(&str, &str); 18] = [
    ("/", "GET, HEAD, OPTIONS"),
    ("/assets/app.js", "GET, HEAD, OPTIONS"),
    ("/scores", "GET, HEAD, OPTIONS"),
    ("/scores/update", "POST, OPTIONS"),
    ("/scores/updates/01J.0", "GET, HEAD, OPTIONS"),
    ("/scores/stream", "GET, HEAD, OPTIONS"),
    ("/users", "POST, GET, HEAD, OPTIONS"),
    ("/users/1", "GET, HEAD, OPTIONS"),
    ("/admin/jobs", "GET, HEAD, DELETE, OPTIONS"),
    ("/admin/jobs/retry", "POST, OPTIONS"),
    ("/admin/jobs/stats", "GET, HEAD, OPTIONS"),
    ("/admin/jobs/01J.0", "GET, HEAD, DELETE, OPTIONS"),
    ("/admin/jobs/01J.0/retry", "POST, OPTIONS"),
    ("/problems/not-found", "GET, HEAD, OPTIONS"),
    ("/healthz", "GET, HEAD, OPTIONS"),
    ("/readyz", "GET, HEAD, OPTIONS"),
    ("/metrics", "GET, HEAD, OPTIONS"),
    ("/assets/no-such-asset", "GET, HEAD, OPTIONS"),
];

async fn send(app: &TestApp, method: &str, path: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    app.request(method, path).send().await.expect("an answer")
}

/// The samples of `/metrics`, by name and labels.
async fn metrics(app: &TestApp) -> HashMap<String, f64> {
    let answer = app.get("/metrics").await;
    assert_eq!(text(answer.headers(), "content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let content = answer.text().await.expect("text");
    assert!(content.ends_with("# EOF\n"), "{content}");
    let samples = content.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_tells_its_methods() {
    let app = TestApp::start().await;
    for (path, methods) in PATHS {
        let answer = send(&app, "OPTIONS", path).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(text(answer.headers(), "allow"), methods, "{path}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_refused_with_those_a_path_has() {
    let app = TestApp::start().await;
    for (path, methods) in PATHS {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get"] {
            if methods.split(", ").any(|has| has == method) {
                continue;
            }
            let answer = send(&app, method, path).await;
            assert_eq!(answer.headers().get("allow").map(|allow| allow.as_bytes()), Some(methods.as_bytes()), "{path}");
            if method == "HEAD" {
                assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            } else {
                let refusal = refused(answer, 405, "method-not-allowed").await;
                assert!(refusal.detail().contains(methods), "{method} {path}: {}", refusal.detail());
            }
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_nowhere_is_not_found() {
    let app = TestApp::start().await;
    for path in
        ["/nowhere", "/scores/", "/Scores", "/users/", "/users/1/2", "/assets/", "/problems/", "//", "/index.html"]
    {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            refused(send(&app, method, path).await, 404, "not-found").await;
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_id_is_kept_and_any_other_is_replaced() {
    let app = TestApp::start().await;
    let longest = "x".repeat(64);
    for id in ["abc-123_X.y", "1", &longest] {
        for path in ["/scores", "/nowhere"] {
            let answer = app.request(Method::GET, path).header("X-Request-Id", id).send().await.expect("an answer");
            assert_eq!(text(answer.headers(), "x-request-id"), id);
        }
    }
    let too_long = "x".repeat(65);
    let mut made = Vec::new();
    for id in [None, Some(""), Some("a b"), Some("a\"b"), Some("ä"), Some("<script>"), Some(&*too_long)] {
        let mut request = app.request(Method::GET, "/scores");
        if let Some(id) = id {
            request = request.header("X-Request-Id", id);
        }
        let answer = request.send().await.expect("an answer");
        let got = text(answer.headers(), "x-request-id").to_owned();
        assert!(got.len() == 26 && got.bytes().all(|b| b.is_ascii_alphanumeric()), "{id:?} became {got}");
        made.push(got);
    }
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 7, "each request has an id of its own");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_that_all_is_well() {
    let app = TestApp::start().await;
    let answer = app.get("/healthz").await;
    assert_eq!(
        (answer.status(), answer.json::<Value>().await.expect("JSON")),
        (StatusCode::OK, json!({ "status": "ok" }))
    );
    ready(&app).await;
    let answer = app.get("/readyz").await;
    assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({ "status": "ready" }));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let app = TestApp::start().await;
    let before = metrics(&app).await;
    assert_eq!(before["scorewire_updates_accepted_total"], 0.0);
    app.add_user(1).await;
    for n in 0..3 {
        app.decided(1, n + 1).await;
    }
    app.decided(404, 1).await;
    let keyed = app.accepted(1, 5, Some("key")).await;
    app.status_when(&keyed, &["applied"]).await;
    app.submit(1, 5, Some("key")).await;
    for path in ["/scores", "/scores?limit=0", "/scores?limit=5", "/nowhere"] {
        app.get(path).await;
    }
    let viewer = app.stream("", None).await;
    app.settled().await;
    let after = metrics(&app).await;
    let requests = |route: &str, method: &str, status: &str| {
        let name =
            format!("scorewire_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
        after.get(&name).copied().unwrap_or_else(|| panic!("{name} in {after:#?}"))
    };
    for (name, count) in [
        ("scorewire_updates_accepted_total", 5.0),
        ("scorewire_updates_replayed_total", 1.0),
        ("scorewire_updates_applied_total", 4.0),
        ("scorewire_updates_rejected_total", 1.0),
        ("scorewire_updates_duplicate_total", 0.0),
        ("scorewire_dead_letters", 0.0),
        ("scorewire_commit_updates_sum", 5.0),
        ("scorewire_viewers", 1.0),
    ] {
        assert_eq!(after.get(name), Some(&count), "{name} in {after:#?}");
    }
    assert_eq!(requests("/scores/update", "POST", "2xx"), 6.0);
    assert_eq!(requests("/users", "POST", "2xx"), 1.0);
    assert_eq!(requests("/scores", "GET", "2xx"), 2.0);
    assert_eq!(requests("/scores", "GET", "4xx"), 1.0);
    assert_eq!(requests("(none)", "(any)", "4xx"), 1.0);
    assert_eq!(requests("/metrics", "GET", "2xx"), 1.0, "the first look");
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_explains_itself() {
    let app = TestApp::start().await;
    let slugs = [
        ("not-found", 404),
        ("unknown-topic", 404),
        ("unknown-feed", 404),
        ("upgrade-required", 426),
        ("method-not-allowed", 405),
        ("invalid-request", 400),
        ("invalid-json", 400),
        ("invalid-body", 422),
        ("body-too-large", 413),
        ("body-too-slow", 408),
        ("unsupported-media-type", 415),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("user-exists", 409),
        ("idempotency-key-reused", 422),
        ("rate-limited", 429),
        ("queue-full", 503),
        ("unavailable", 503),
        ("internal", 500),
    ];
    for (slug, status) in slugs {
        let described: Value = app.get(&format!("/problems/{slug}")).await.json().await.expect("JSON");
        assert_eq!((&described["slug"], &described["status"]), (&json!(slug), &json!(status)));
        for sentence in ["title", "meaning"] {
            assert!(described[sentence].as_str().is_some_and(|text| text.len() > 5), "{described}");
        }
    }
    let refusal = refused(app.get("/problems/no-such-problem").await, 404, "not-found").await;
    let described: Value = app.get(refusal.body["type"].as_str().expect("a type")).await.json().await.expect("JSON");
    assert_eq!(described["title"], refusal.body["title"], "a problem's type leads to its meaning");
    app.finish().await;
}
