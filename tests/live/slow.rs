//! Viewers that are slow, stalled, rude or too many: others are unaffected, and each learns why it was ended.

use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use rustix::process::Resource;
use scorewire::http::auth::Scope;
use scorewire_core::settings::units::StreamAccess;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Received, ServerProcess, Socket, Stream, TestApp, command, eventually, full_or, within};

/// Data that fills the buffers of sockets soon.
fn pad() -> Value {
    json!({ "pad": "x".repeat(8_000) })
}

/// A WebSocket whose own buffers are small, and which reads only when told to.
async fn lazy_socket(app: &TestApp, request: Value) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let stream = socket.connect(app.server.address).await.expect("a connection");
    let (mut socket, _) = client_async(format!("ws://{}/ws", app.server.address), stream).await.expect("an upgrade");
    socket.send(Message::text(request.to_string())).await.expect("sent");
    let begun = within("an answer", socket.next()).await.expect("a message").expect("no break");
    assert!(begun.to_text().is_ok_and(|text| text.contains("subscribed")), "{begun}");
    socket
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = app.get("/metrics").await.text().await.expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

async fn viewers(app: &TestApp) -> Value {
    let answer = app.request(Method::GET, "/admin/viewers").bearer_auth(app.admin()).send().await;
    answer.expect("an answer").json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_is_too_slow_is_named_and_closed_with_its_reason() {
    let app = TestApp::with(|settings| settings.viewer_max_bytes = Some("256KiB".parse().expect("bytes"))).await;
    let mut slow = lazy_socket(&app, json!({ "type": "subscribe", "topic": "match:1" })).await;
    let mut quick = Socket::connect(app.server.address).await;
    quick.subscribe("match:1", json!({})).await;
    quick.expect("subscribed").await;
    let reader = tokio::spawn(async move {
        let mut offsets = Vec::new();
        while let Received::Json(message) = quick.receive_at_leisure().await {
            if message["event"] == "end" {
                break;
            }
            offsets.extend(message["id"].as_str().and_then(|id| id.split_once(':')?.1.parse::<u64>().ok()));
        }
        offsets
    });
    let (mut named, mut beat) = (false, tokio::time::interval(Duration::from_millis(10)));
    within("the slow one to be gone", async {
        loop {
            beat.tick().await;
            app.note("match:1", "goal", &pad()).await;
            let told = viewers(&app).await;
            if told["total"] == 1 {
                break;
            }
            let slowest = &told["viewers"][0];
            named |= slowest["behindBytes"].as_u64().is_some_and(|bytes| bytes > 100_000)
                && slowest["transport"] == "websocket"
                && slowest["topics"][0]["topic"] == "match:1";
        }
    })
    .await;
    assert!(named, "it was named while it lagged");
    assert!(metric(&app, "scorewire_stream_closes_total{code=\"4000\",transport=\"websocket\"}").await >= 1.0);
    // What reached the slow one before it was cut off is a sequence from the first message on.
    let mut next = 1;
    while let Some(Ok(Message::Text(text))) = within("the end", slow.next()).await {
        let message: Value = serde_json::from_str(&text).expect("JSON");
        let id = message["id"].as_str().expect("an id");
        assert!(id.ends_with(&format!(":{next}")), "{id}");
        next += 1;
    }
    app.note("match:1", "end", &json!({})).await;
    let offsets = within("the quick one", reader).await.expect("it read on");
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "the other viewer missed nothing");
    assert!(offsets.len() > 30);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_over_a_cap_are_told_to_try_later_by_an_answer_that_browsers_accept() {
    let app = TestApp::with(|settings| {
        settings.max_viewers = Some(3);
        settings.max_viewers_per_subject = Some(1);
    })
    .await;
    let mine = || app.request(Method::GET, "/scores/stream").bearer_auth(app.token("ann", &[Scope::OwnScores]));
    let mut first = Stream::new(mine().send().await.expect("an answer"));
    first.expect("snapshot").await;
    let of_ann = mine().send().await.expect("an answer");
    assert_eq!(of_ann.status(), StatusCode::OK, "a browser would never come back after any other");
    let said = within("its end", of_ann.text()).await.expect("text");
    assert!(said.starts_with("retry: ") && said.contains("event: close\ndata: {\"code\":1013,"), "{said}");
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut socket = Socket::connect(app.server.address).await;
        socket.subscribe("scores", json!({})).await;
        socket.expect("subscribed").await;
        others.push(socket);
    }
    let mut refused = Socket::connect(app.server.address).await;
    assert_eq!(refused.closed().await, (1_013, "try-later".to_owned()));
    drop((first, others, refused));
    eventually("room", || async { (viewers(&app).await["total"] == 0).then_some(()) }).await;
    let mut again = Stream::new(mine().send().await.expect("an answer"));
    again.expect("snapshot").await;
    drop(again);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_does() {
    let app = TestApp::with(|settings| {
        settings.streams = Some(StreamAccess::Token);
        settings.jwt_leeway = Some("0s".parse().expect("a span"));
    })
    .await;
    let tokens = scorewire::server::tokens(&app.settings).expect("a secret").0;
    let token = |seconds| {
        let grant: scorewire::http::auth::Grant = "stream:scores".parse().expect("a scope");
        let expires = SystemTime::now() + Duration::from_secs(seconds);
        tokens.issue("ann", &[grant], expires).expect("a token")
    };
    let short = token(3);
    let answer = app.request(Method::GET, "/scores/stream").bearer_auth(&short).send().await.expect("an answer");
    let mut events = Stream::new(answer);
    events.expect("snapshot").await;
    let bearer = format!("Bearer {short}");
    let connected = Socket::try_connect(app.server.address, &[("authorization", &bearer)]).await;
    let mut socket = connected.unwrap_or_else(|status| panic!("refused with {status}"));
    socket.subscribe("match:1", json!({})).await;
    let error = socket.expect("error").await;
    assert_eq!((&error["code"], &error["topic"]), (&json!("forbidden"), &json!("match:1")));
    socket.subscribe("scores", json!({})).await;
    socket.expect("subscribed").await;
    assert_eq!(socket.closed().await, (4_001, "reauthenticate".to_owned()));
    let last = within("a last word", events.block()).await.expect("an event");
    assert!(last.starts_with("event: reauthenticate\ndata: {\"code\":4001,"), "{last}");
    assert_eq!(within("the end", events.block()).await, None);
    assert_eq!(Socket::try_connect(app.server.address, &[]).await.err(), Some(401));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_not_connect_unless_listed() {
    let app = TestApp::with(|settings| {
        settings.cors_origins = Some("https://*.example.com".parse().expect("origins"));
    })
    .await;
    let host = app.server.address.to_string();
    let own = format!("http://{host}");
    for (origin, status) in [
        (own.as_str(), None),
        ("https://live.example.com", None),
        ("https://example.com.evil.org", Some(403)),
        ("http://live.example.com", Some(403)),
        ("null", Some(403)),
    ] {
        let outcome = Socket::try_connect(app.server.address, &[("origin", origin)]).await;
        assert_eq!(outcome.err(), status, "{origin}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_garbage_disturb_nobody() {
    let app = TestApp::with(|settings| settings.header_timeout = Some("500ms".parse().expect("a span"))).await;
    let mut viewer = app.stream("", None).await;
    viewer.expect("snapshot").await;
    let long = format!("GET /ws HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(500));
    let inputs: [&[u8]; 6] = [
        b"\x00\xff\xfe garbage \r\n\r\n",
        b"GET /scores/stream HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /scores/stream HTTP/1.1\r\nHost",
        long.as_bytes(),
        many.as_bytes(),
    ];
    for input in inputs {
        let mut rude = TcpStream::connect(app.server.address).await.expect("a connection");
        // The server may answer and close before it has taken all of it.
        let _ = rude.write_all(input).await;
        let mut said = Vec::new();
        let _ = within("its end", rude.read_to_end(&mut said)).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    }
    // One byte at a time is slow, not wrong.
    let mut patient = TcpStream::connect(app.server.address).await.expect("a connection");
    for byte in b"GET /scores/stream HTTP/1.1\r\nHost: x\r\n\r\n" {
        patient.write_all(&[*byte]).await.expect("sent");
    }
    let mut said = [0; 12];
    within("an answer", patient.read_exact(&mut said)).await.expect("an answer");
    assert_eq!(&said, b"HTTP/1.1 200");
    app.add_user(1).await;
    app.decided(1, 1).await;
    assert_eq!(viewer.next_of("update").await.data["score"], 1);
    drop((viewer, patient));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_out_of_descriptors_serves_on_and_recovers() {
    let dir = TempDir::new().expect("a directory");
    // The limits on connections would keep it from getting there.
    let unlimited = ["--max-connections", "1000000", "--max-connections-per-ip", "1000000"];
    let server = ServerProcess::try_start(command(dir.path(), &unlimited)).await.expect("a server");
    let descriptors = full_or(15_000, 120);
    server.limit(Resource::Nofile, descriptors);
    let address = server.url.trim_start_matches("http://").to_owned();
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let mut viewer = Stream::new(http.get(format!("{}/scores/stream", server.url)).send().await.expect("an answer"));
    viewer.expect("snapshot").await;
    let mut crowd = Vec::new();
    for _ in 0..descriptors + 200 {
        crowd.push(TcpStream::connect(&address).await.expect("the kernel takes it"));
    }
    // Nobody hangs: one who finds no room is told so or closed.
    let mut last = crowd.pop().expect("a crowd");
    let mut said = Vec::new();
    let _ = within("a refusal", last.read_to_end(&mut said)).await;
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&said));
    drop(crowd);
    eventually("the server to take connections again", || async {
        let answer = http.get(format!("{}/scores", server.url)).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    assert_eq!(viewer.comments, 0);
    assert!(viewer.is_open().await, "the viewer was there all the while");
    server.terminate().await;
}
