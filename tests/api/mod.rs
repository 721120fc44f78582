//! Requests and answers, by URL; what every answer has in common is checked here, once.

mod access;
mod auth;
mod cors;
mod fuzz;
mod garbage;
mod idempotency;
mod jobs;
mod limits;
mod operations;
mod page;
mod rebuild;
mod redaction;
mod scores;
mod tls;
mod updates;
mod users;
mod waiting;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use scorewire::http::auth::Scope;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Scores, TestApp, eventually, within};

/// A refusal that was checked to be a whole problem.
struct Refusal {
    headers: HeaderMap,
    body: Value,
}

impl Refusal {
    /// The sentence for people.
    fn detail(&self) -> &str {
        self.body["detail"].as_str().expect("a detail")
    }

    /// The field that is to blame, where one is.
    fn field(&self) -> Option<&str> {
        self.body["errors"][0]["field"].as_str()
    }

    fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }
}

/// A header that must be there, as text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).unwrap_or_else(|| panic!("the header {name} in {headers:?}"));
    value.to_str().expect("text")
}

/// Checks that an answer is this problem, with all that every problem has (RFC 9457).
async fn refused(answer: Response, status: u16, slug: &str) -> Refusal {
    let path = answer.url().path().to_owned();
    let (got, headers) = (answer.status().as_u16(), answer.headers().clone());
    let content = answer.text().await.expect("a body");
    assert_eq!(got, status, "{path}: {content}");
    assert_eq!(text(&headers, "content-type"), "application/problem+json");
    assert_eq!(text(&headers, "cache-control"), "no-store");
    assert_eq!(text(&headers, "x-content-type-options"), "nosniff");
    let body: Value = serde_json::from_str(&content).expect("JSON");
    assert_eq!(body["type"], format!("/problems/{slug}"), "{content}");
    assert_eq!(body["status"], status);
    assert_eq!(body["instance"], path);
    assert_eq!(body["request_id"], text(&headers, "x-request-id"));
    for sentence in ["title", "detail"] {
        assert!(body[sentence].as_str().is_some_and(|text| !text.is_empty()), "{sentence}: {content}");
    }
    for error in body["errors"].as_array().into_iter().flatten() {
        assert!(error["field"].is_string() && error["detail"].is_string(), "{content}");
    }
    Refusal { headers, body }
}

/// POSTs a body as JSON, with a token.
async fn post(app: &TestApp, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = app.request(Method::POST, path).bearer_auth(token).header("Content-Type", "application/json");
    request.body(body).send().await.expect("an answer")
}

/// Rows of the board once everything accepted is applied and published: the ledger decides before viewers hear of it.
async fn board(app: &TestApp, query: &str) -> Scores {
    app.settled().await;
    app.scores(query).await
}

/// Waits until the worker has shown its first sign of life.
async fn ready(app: &TestApp) {
    eventually("the server to be ready", || async { (app.get("/readyz").await.status() == 200).then_some(()) }).await;
}

/// A token that may change the score of anybody, for a subject.
fn writer(app: &TestApp, subject: &str) -> String {
    app.token(subject, &[Scope::AnyScores])
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct RawAnswer {
    status: u16,
    head: String,
    body: String,
}

/// Sends bytes no client library would send, and reads until the server closes.
async fn raw(app: &TestApp, request: &[u8]) -> RawAnswer {
    let received = exchange(app, request, false).await;
    let (head, body) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {received:?}"));
    RawAnswer { status: status_of(head), head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Sends bytes and reads no further than the answer's head: the body may never end.
async fn raw_status(app: &TestApp, request: &[u8]) -> u16 {
    status_of(&exchange(app, request, true).await)
}

fn status_of(head: &str) -> u16 {
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("no status line in {head:?}"))
}

async fn exchange(app: &TestApp, request: &[u8], head_only: bool) -> String {
    within("a raw answer", async {
        let mut stream = TcpStream::connect(app.server.address).await.expect("a connection");
        // A server that refuses early need not take the rest; what it said before it closed can still be read.
        let _ = stream.write_all(request).await;
        let mut received = Vec::new();
        let mut chunk = [0; 4_096];
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            received.extend_from_slice(&chunk[..length]);
            if head_only && received.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8(received).expect("UTF-8")
    })
    .await
}
