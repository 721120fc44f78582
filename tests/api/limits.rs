//! Limits: on writes of a subject, requests of an address, the queue and the body. Each refusal says when to come back.

use reqwest::{Method, Response, StatusCode};
use scorewire_core::settings::Overrides;
use serde_json::json;

use super::{RawAnswer, board, post, raw, ready, refused, text, writer};
use crate::support::{Socket, TestApp};

/// So few that nothing refills while a test runs.
const THREE_AN_HOUR: &str = "3/1h";
const BODY: &str = r#"{"userId":1,"increment":1}"#;

async fn forwarded(app: &TestApp, addresses: &str) -> Response {
    app.request(Method::GET, "/scores").header("X-Forwarded-For", addresses).send().await.expect("an answer")
}

fn limited_addresses(settings: &mut Overrides) {
    settings.rate_limit_ip = Some(THREE_AN_HOUR.parse().expect("a rate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_writes_too_much_is_told_when_to_come_back() {
    let app = TestApp::with(|settings| {
        settings.rate_limit_subject = Some(THREE_AN_HOUR.parse().expect("a rate"));
    })
    .await;
    app.add_user(1).await;
    let ann = writer(&app, "ann");
    for (left, refill) in [(2, 1_200), (1, 2_400), (0, 3_600)] {
        let answer = post(&app, "/scores/update", &ann, BODY).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(text(answer.headers(), "ratelimit-policy"), "\"writes\";q=3;w=3600");
        assert_eq!(text(answer.headers(), "ratelimit"), format!("\"writes\";r={left};t={refill}"));
    }
    let refusal = refused(post(&app, "/scores/update", &ann, BODY).await, 429, "rate-limited").await;
    let wait: u64 = refusal.header("retry-after").parse().expect("seconds");
    assert!((1..=1_200).contains(&wait), "{wait}");
    assert_eq!(refusal.header("ratelimit-policy"), "\"writes\";q=3;w=3600");
    assert!(refusal.header("ratelimit").starts_with("\"writes\";r=0;t="), "{:?}", refusal.headers);
    // Everybody has a bucket of their own, reading is not writing, and nothing of the refused one was queued.
    assert_eq!(post(&app, "/scores/update", &writer(&app, "bob"), BODY).await.status(), StatusCode::ACCEPTED);
    assert_eq!(app.get("/scores").await.status(), StatusCode::OK);
    assert_eq!(app.server.wiring.metrics.accepted.get(), 4);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_another_reason_uses_up_nothing() {
    let app = TestApp::with(|settings| {
        settings.rate_limit_subject = Some("1/1h".parse().expect("a rate"));
    })
    .await;
    app.add_user(1).await;
    let ann = writer(&app, "ann");
    for body in ["", "{}", r#"{"userId":1,"increment":0}"#] {
        assert!(matches!(post(&app, "/scores/update", &ann, body).await.status().as_u16(), 400 | 422));
    }
    assert_eq!(post(&app, "/scores/update", &ann, BODY).await.status(), StatusCode::ACCEPTED);
    refused(post(&app, "/scores/update", &ann, BODY).await, 429, "rate-limited").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_much_is_refused_but_never_its_probes() {
    let app = TestApp::with(limited_addresses).await;
    ready(&app).await;
    for path in ["/scores", "/", "/nowhere", "/users/1"] {
        assert_ne!(app.get(path).await.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    let refusal = refused(app.get("/scores").await, 429, "rate-limited").await;
    assert_eq!(refusal.header("ratelimit-policy"), "\"requests\";q=3;w=3600");
    assert!(refusal.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=1_200).contains(&wait)));
    for _ in 0..5 {
        for probe in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(app.get(probe).await.status(), StatusCode::OK, "{probe}");
        }
    }
    refused(app.submit(1, 1, None).await, 429, "rate-limited").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_is_not_believed() {
    let app = TestApp::with(limited_addresses).await;
    for n in 1..=3 {
        assert_eq!(forwarded(&app, &format!("10.0.0.{n}")).await.status(), StatusCode::OK);
    }
    refused(forwarded(&app, "10.0.0.4").await, 429, "rate-limited").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_whose_request_it_is() {
    let app = TestApp::with(|settings| {
        limited_addresses(settings);
        settings.trusted_proxies = Some("127.0.0.0/8, 192.168.0.0/16".parse().expect("networks"));
    })
    .await;
    // What stands left of the address our proxies saw was written by the client.
    for n in 1..=3 {
        assert_eq!(forwarded(&app, &format!("10.9.9.{n}, 10.0.0.1, 192.168.0.7")).await.status(), StatusCode::OK);
    }
    refused(forwarded(&app, "10.9.9.4, 10.0.0.1").await, 429, "rate-limited").await;
    refused(forwarded(&app, "10.0.0.1").await, 429, "rate-limited").await;
    assert_eq!(forwarded(&app, "10.0.0.2").await.status(), StatusCode::OK, "another client");
    assert_eq!(forwarded(&app, "2001:db8::1").await.status(), StatusCode::OK, "another client");
    // Without a usable header it is the proxy's own.
    for header in ["", "nonsense", "unknown", "10.0.0.2, nonsense"] {
        let limited = forwarded(&app, header).await.status() == StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(limited, header == "10.0.0.2, nonsense", "{header:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let app = TestApp::with(|settings| settings.queue_limit = Some(0)).await;
    app.add_user(1).await;
    let refusal = refused(app.submit(1, 1, None).await, 503, "queue-full").await;
    assert!(refusal.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1));
    let keyed = refused(app.submit(1, 1, Some("key")).await, 503, "queue-full").await;
    assert!(keyed.detail().contains("nothing was queued"), "{}", keyed.detail());
    assert_eq!(board(&app, "").await, [(1, 1, 0)], "reading goes on");
    app.finish().await;
}

fn head(app: &TestApp, length: &str) -> String {
    let token = writer(app, "ann");
    let content = "Content-Type: application/json\r\nConnection: close";
    format!("POST /scores/update HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{content}\r\n{length}\r\n\r\n")
}

fn is_too_large(answer: &RawAnswer) {
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.head.contains("content-type: application/problem+json"), "{answer:?}");
    assert!(answer.body.contains("/problems/body-too-large") && answer.body.contains("65536"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_declared_too_large_is_refused_before_it_is_sent() {
    let app = TestApp::start().await;
    for length in ["65537", "2000000", "9223372036854775807"] {
        is_too_large(&raw(&app, head(&app, &format!("Content-Length: {length}")).as_bytes()).await);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_too_large_is_refused_once_it_has() {
    let app = TestApp::start().await;
    let chunk = format!("{:x}\r\n{}\r\n", 32_768, " ".repeat(32_768));
    let head = head(&app, "Transfer-Encoding: chunked");
    is_too_large(&raw(&app, format!("{head}{chunk}{chunk}1\r\n ").as_bytes()).await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_far_too_much_still_reads_why_it_was_refused() {
    let app = TestApp::start().await;
    let body = " ".repeat(2_000_000);
    is_too_large(&raw(&app, (head(&app, "Content-Length: 2000000") + &body).as_bytes()).await);
    let chunked = format!("{}{:x}\r\n{body}\r\n0\r\n\r\n", head(&app, "Transfer-Encoding: chunked"), body.len());
    is_too_large(&raw(&app, chunked.as_bytes()).await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_just_the_limit_is_read() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let padded = format!("{BODY}{}", " ".repeat(65_536 - BODY.len()));
    assert_eq!(post(&app, "/scores/update", &app.admin(), padded.clone()).await.status(), StatusCode::ACCEPTED);
    refused(post(&app, "/scores/update", &app.admin(), padded + " ").await, 413, "body-too-large").await;
    let chunked = format!("{}{:x}\r\n{BODY}\r\n0\r\n\r\n", head(&app, "Transfer-Encoding: chunked"), BODY.len());
    assert_eq!(raw(&app, chunked.as_bytes()).await.status, 202);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::with(|settings| settings.header_timeout = Some("300ms".parse().expect("a time"))).await;
    let answer = raw(&app, (head(&app, "Content-Length: 30") + "{").as_bytes()).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.body.contains("/problems/body-too-slow"), "{answer:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_users_is_writing_too() {
    let app = TestApp::with(|settings| settings.rate_limit_subject = Some("1/1h".parse().expect("a rate"))).await;
    let body = json!({ "name": "Ada" }).to_string();
    assert_eq!(post(&app, "/users", &app.admin(), body.clone()).await.status(), StatusCode::CREATED);
    refused(post(&app, "/users", &app.admin(), body).await, 429, "rate-limited").await;
    app.finish().await;
}

/// A browser gives up for ever on a stream that is answered by anything but 200.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_never_refused_by_a_status() {
    let app = TestApp::with(|settings| {
        limited_addresses(settings);
        settings.rate_limit_streams = Some("5/1h".parse().expect("a rate"));
    })
    .await;
    for _ in 0..5 {
        app.stream("", None).await.expect("snapshot").await;
    }
    for path in ["/scores/stream", "/topics/stream?topic=scores", "/topics/match:1/stream", "/topics/weather/stream"] {
        let shed = app.get(path).await;
        assert_eq!(shed.status(), StatusCode::OK, "{path}");
        let said = shed.text().await.expect("text");
        assert!(said.starts_with("retry: ") && said.contains("\"code\":1013"), "{said}");
    }
    let mut socket = Socket::connect(app.server.address).await;
    assert_eq!(socket.closed().await, (1_013, "try-later".to_owned()));
    assert_eq!(app.get("/scores").await.status(), StatusCode::OK, "streams use up nothing of other requests");
    app.finish().await;
}
