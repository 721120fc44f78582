//! Streams as curl sees them, directly and through nginx: each event at once, while the stream is open.

use serde_json::json;

use crate::support::{Follower, Nginx, Socket, TestApp};

/// Follows `/scores/stream` at this address, is cut off, and resumes.
async fn follows_and_resumes(app: &TestApp, base: &str) {
    let url = format!("{base}/scores/stream");
    let mut viewer = Follower::curl(&url, None);
    let mut seen = vec![viewer.event().await];
    assert_eq!(seen[0].event, "snapshot");
    // Each event arrives before the next is caused: nobody holds them back to send them together.
    for _ in 0..3 {
        app.decided(1, 1).await;
        for event in ["update", "top"] {
            seen.push(viewer.event().await);
            assert_eq!(seen.last().expect("one").event, event);
        }
    }
    viewer.kill().await;
    for _ in 0..3 {
        app.decided(1, 1).await;
    }
    let mut viewer = Follower::curl(&url, Some(&seen.last().expect("one").id));
    for _ in 0..6 {
        seen.push(viewer.event().await);
    }
    viewer.kill().await;
    let first = seen[0].offset();
    let offsets: Vec<u64> = seen.iter().map(|event| event.offset() - first).collect();
    assert_eq!(offsets, (0..13).collect::<Vec<_>>(), "the whole sequence, once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_follows_and_resumes() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    follows_and_resumes(&app, &app.url).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_that_speaks_http_1_0_holds_nothing_back() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let nginx = Nginx::before(app.server.address).await;
    follows_and_resumes(&app, &format!("{}/1.0", nginx.url)).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_that_speaks_http_1_1_holds_nothing_back() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let nginx = Nginx::before(app.server.address).await;
    follows_and_resumes(&app, &format!("{}/1.1", nginx.url)).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_through_nginx_and_resumes() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let nginx = Nginx::before(app.server.address).await;
    let mut socket = Socket::connect(nginx.address).await;
    socket.subscribe("scores", json!({})).await;
    assert_eq!(socket.expect("subscribed").await["recovered"], false);
    assert_eq!(socket.expect("message").await["event"], "snapshot");
    let mut last = json!(null);
    for score in 1..=3 {
        app.decided(1, 1).await;
        last = socket.event("update").await["id"].clone();
        assert_eq!(socket.event("top").await["data"][0]["score"], score);
    }
    drop(socket);
    app.decided(1, 1).await;
    let mut socket = Socket::connect(nginx.address).await;
    socket.subscribe("scores", json!({ "last_event_id": last })).await;
    assert_eq!(socket.expect("subscribed").await["recovered"], true);
    for (event, score) in [("top", 3), ("top", 4)] {
        assert_eq!(socket.event(event).await["data"][0]["score"], score);
    }
    drop(socket);
    app.finish().await;
}
