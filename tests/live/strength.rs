//! Many viewers, slow viewers, viewers that come and go.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{TestApp, eventually, within};

const VIEWERS: usize = 150;
const UPDATES: i64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_sees_the_same_whole_sequence() {
    let app = Arc::new(TestApp::start().await);
    for id in 1..=5 {
        app.add_user(id).await;
    }
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let mut viewer = app.stream("", None).await;
        let first = viewer.expect("snapshot").await;
        viewers.push(tokio::spawn(async move {
            let (mut offset, mut sum, mut sequence) = (first.offset(), 0, Vec::new());
            while sum < UPDATES {
                let event = viewer.next().await.expect("the stream goes on");
                assert_eq!(event.offset(), offset + 1, "no hole, no repeat");
                offset += 1;
                if event.event == "update" {
                    sum += event.data["increment"].as_i64().expect("an increment");
                }
                sequence.push(event.data.to_string());
            }
            (sum, sequence)
        }));
    }
    let posts = (0..UPDATES).map(|n| {
        let app = Arc::clone(&app);
        async move { app.accepted(n % 5 + 1, 1, None).await }
    });
    futures_util::future::join_all(posts).await;
    let mut sequences = Vec::new();
    for viewer in viewers {
        let (sum, sequence) = within("a viewer", viewer).await.expect("a viewer");
        assert_eq!(sum, UPDATES);
        sequences.push(sequence);
    }
    assert!(sequences.windows(2).all(|pair| pair[0] == pair[1]));
    Arc::into_inner(app).expect("nobody else").finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_never_reads_slows_nobody_and_is_cut_off() {
    let app = TestApp::with(|settings| settings.write_timeout = Some("1s".parse().expect("a span"))).await;
    // Long names fill the sockets' buffers quickly, and small ones even more so.
    for id in 1..=10 {
        let body = serde_json::json!({ "id": id, "name": "x".repeat(100) });
        let answer = app.request(reqwest::Method::POST, "/users").bearer_auth(app.admin()).json(&body).send().await;
        assert_eq!(answer.expect("an answer").status(), 201);
    }
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stalled = socket.connect(app.server.address).await.expect("a connection");
    stalled.write_all(b"GET /scores/stream HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("a request");
    let mut reader = app.stream("", None).await;
    reader.expect("snapshot").await;
    let viewers = || app.server.wiring.metrics.viewers.get();
    eventually("both viewers", || async { (viewers() == 2).then_some(()) }).await;
    let (posts, mut posts_done) = tokio::sync::watch::channel(None);
    // Reads all the while: only the stalled one takes nothing.
    let reading = tokio::spawn(async move {
        let mut sum = 0;
        loop {
            let total = *posts_done.borrow_and_update();
            if total == Some(sum) {
                return sum;
            }
            tokio::select! {
                update = reader.next_of("update") => sum += update.data["increment"].as_i64().expect("an increment"),
                _ = posts_done.changed() => {}
            }
        }
    });
    let mut posted = 0;
    eventually("the stalled viewer to be cut off", || {
        posted += 1;
        let app = &app;
        async move {
            app.accepted(posted % 10 + 1, 1, None).await;
            (app.server.wiring.metrics.viewers.get() == 1).then_some(())
        }
    })
    .await;
    posts.send_replace(Some(posted));
    assert_eq!(within("the reader", reading).await.expect("a reader"), posted, "the other viewer saw everything");
    drop(stalled);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_come_and_go_leave_nothing_behind() {
    let app = TestApp::start().await;
    for _ in 0..300 {
        let mut viewer = app.stream("", None).await;
        viewer.expect("snapshot").await;
    }
    let metrics = &app.server.wiring.metrics;
    eventually("all to be gone", || async { (metrics.viewers.get() == 0).then_some(()) }).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_told_so_and_others_go_on() {
    let app = TestApp::with(|settings| settings.max_connections = Some(3)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut viewer = app.stream("", None).await;
        viewer.expect("snapshot").await;
        held.push(viewer);
    }
    let mut refused = TcpStream::connect(app.server.address).await.expect("a connection");
    let mut said = String::new();
    within("a refusal", refused.read_to_string(&mut said)).await.expect("text");
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("Retry-After: 5"), "{said}");
    drop(held);
    eventually("room", || async { app.http.get(format!("{}/healthz", app.url)).send().await.ok() }).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_its_request_is_cut_off() {
    let app = TestApp::with(|settings| settings.header_timeout = Some("200ms".parse().expect("a span"))).await;
    let mut slow = TcpStream::connect(app.server.address).await.expect("a connection");
    slow.write_all(b"GET /scores HTTP/1.1\r\nHost:").await.expect("half a request");
    let mut said = Vec::new();
    within("the end", slow.read_to_end(&mut said)).await.expect("it is closed");
    let mut slow_body = TcpStream::connect(app.server.address).await.expect("a connection");
    let head = format!(
        "POST /users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{",
        app.admin()
    );
    slow_body.write_all(head.as_bytes()).await.expect("half a body");
    let mut said = vec![0; 64];
    within("an answer", slow_body.read_exact(&mut said)).await.expect("an answer");
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    drop((slow, slow_body));
    app.finish().await;
}
