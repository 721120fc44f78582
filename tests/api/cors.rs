//! Cross-origin requests: which pages of other sites may call the API, and what a preflight is told.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::text;
use crate::support::TestApp;

async fn headers(app: &TestApp, method: Method, path: &str, origin: Option<&str>) -> HeaderMap {
    let mut request = app.request(method, path).header("Access-Control-Request-Method", "POST");
    if let Some(origin) = origin {
        request = request.header("Origin", origin);
    }
    request.send().await.expect("an answer").headers().clone()
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    headers.get_all("vary").iter().any(|vary| vary.as_bytes().eq_ignore_ascii_case(b"origin"))
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_pages_of_every_site_may_call() {
    let app = TestApp::start().await;
    for path in ["/scores", "/nowhere", "/users", "/problems/not-found"] {
        let headers = headers(&app, Method::GET, path, Some("https://any.example")).await;
        assert_eq!(text(&headers, "access-control-allow-origin"), "*", "{path}");
        let exposed = text(&headers, "access-control-expose-headers");
        for header in ["ETag", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed", "RateLimit"] {
            assert!(exposed.split(", ").any(|name| name == header), "{header} in {exposed}");
        }
        assert!(!headers.contains_key("access-control-allow-credentials"), "tokens, not cookies");
    }
    assert!(!headers(&app, Method::GET, "/scores", None).await.contains_key("access-control-allow-origin"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_told_what_it_may_send() {
    let app = TestApp::start().await;
    for path in ["/scores/update", "/users", "/scores/stream"] {
        let request = app.request(Method::OPTIONS, path).header("Origin", "https://any.example");
        let request = request.header("Access-Control-Request-Method", "POST");
        let answer = request.header("Access-Control-Request-Headers", "authorization").send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let headers = answer.headers();
        assert_eq!(text(headers, "access-control-allow-origin"), "*");
        assert_eq!(text(headers, "access-control-allow-methods"), "GET, HEAD, POST, OPTIONS");
        let allowed = text(headers, "access-control-allow-headers");
        for header in ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"] {
            assert!(allowed.split(", ").any(|name| name == header), "{header} in {allowed}");
        }
        assert!(text(headers, "access-control-max-age").parse::<u32>().is_ok());
        assert!(headers.contains_key("allow"));
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_origins_may_call_and_no_others() {
    let app = TestApp::with(|settings| {
        settings.cors_origins = Some("https://a.example, http://localhost:8080".parse().expect("a list"));
    })
    .await;
    for method in [Method::GET, Method::OPTIONS] {
        for origin in ["https://a.example", "http://localhost:8080"] {
            let headers = headers(&app, method.clone(), "/scores", Some(origin)).await;
            assert_eq!(text(&headers, "access-control-allow-origin"), origin);
            assert!(varies_by_origin(&headers));
        }
        let others = [
            "https://b.example",
            "http://a.example",
            "https://a.example.evil.example",
            "https://a.example:444",
            "null",
            "https://sub.a.example",
            "https://a.example/",
            "HTTPS://A.EXAMPLE",
            "*",
            "",
            "http://localhost",
        ];
        for origin in others {
            let headers = headers(&app, method.clone(), "/scores", Some(origin)).await;
            for name in ["origin", "methods", "headers"] {
                let name = format!("access-control-allow-{name}");
                assert!(!headers.contains_key(&name), "{origin}: {headers:?}");
            }
            assert!(varies_by_origin(&headers), "a cache must not hand this to another origin");
        }
        assert!(varies_by_origin(&headers(&app, method, "/scores", None).await));
    }
    app.finish().await;
}
