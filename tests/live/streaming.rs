//! The stream from its first event to its last.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_the_board_first_and_then_every_change() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app.add_user(2).await;
    app.decided(2, 50).await;
    let mut viewer = app.stream("", None).await;
    let snapshot = viewer.expect("snapshot").await;
    assert_eq!(
        snapshot.data,
        json!([
            { "rank": 1, "userId": 2, "user": "user 2", "score": 50 },
            { "rank": 2, "userId": 1, "user": "user 1", "score": 0 },
        ])
    );
    app.decided(1, 70).await;
    let update = viewer.expect("update").await;
    assert_eq!(update.data, json!({ "user": "user 1", "score": 70, "userId": 1, "rank": 1, "increment": 70 }));
    assert_eq!(update.offset(), snapshot.offset() + 1);
    let top = viewer.expect("top").await;
    assert_eq!(top.data[0]["userId"], 1);
    assert_eq!(top.offset(), update.offset() + 1);
    app.add_user(3).await;
    let top = viewer.expect("top").await;
    assert_eq!(top.data[2], json!({ "rank": 3, "userId": 3, "user": "user 3", "score": 0 }));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_outside_the_top_is_told_without_repeating_the_top() {
    let app = TestApp::with(|settings| settings.top_rows = Some(1)).await;
    app.add_user(1).await;
    app.add_user(2).await;
    app.decided(1, 100).await;
    let mut viewer = app.stream("", None).await;
    assert_eq!(viewer.expect("snapshot").await.data.as_array().map(Vec::len), Some(1));
    app.decided(2, 5).await;
    app.decided(2, 6).await;
    assert_eq!(viewer.expect("update").await.data["rank"], 2);
    assert_eq!(viewer.expect("update").await.data["score"], 11);
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_served_as_proxies_and_browsers_want_it() {
    let app = TestApp::start().await;
    let viewer = app.stream("", None).await;
    assert_eq!(viewer.response.status(), StatusCode::OK);
    let headers = viewer.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-length"));
    drop(viewer);
    let head = app.request(Method::HEAD, "/scores/stream").send().await.expect("an answer");
    assert_eq!(head.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(head.bytes().await.expect("a body").len(), 0, "HEAD ends at once");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_carries_comments() {
    let app = TestApp::with(|settings| settings.heartbeat = Some("50ms".parse().expect("a span"))).await;
    let mut viewer = app.stream("", None).await;
    viewer.expect("snapshot").await;
    viewer.comment().await;
    viewer.comment().await;
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_stopping_server_are_told_when_to_come_back() {
    let app = TestApp::start().await;
    let mut viewer = app.stream("", None).await;
    viewer.expect("snapshot").await;
    let stopping = tokio::spawn(app.server.stop());
    assert_eq!(viewer.next().await, None, "the stream ends in order");
    assert!(viewer.retry.is_some_and(|wait| (500..2_500).contains(&wait)), "{:?}", viewer.retry);
    stopping.await.expect("it stops");
}

/// One thread: the hub can not take announcements while they are made.
#[tokio::test(flavor = "current_thread")]
async fn what_the_hub_could_not_hear_is_found_though_its_topic_says_no_more() {
    let app = TestApp::start().await;
    let mut viewer = crate::support::Stream::new(app.get("/topics/match:1/stream").await);
    viewer.comment().await;
    app.note("match:1", "goal", &json!({ "minute": 1 })).await;
    assert_eq!(viewer.expect("goal").await.offset(), 1);
    app.note("match:1", "goal", &json!({ "minute": 2 })).await;
    // More than the hub may lag behind; it hears of none of them.
    for n in 0..1_100 {
        app.note("match:2", "note", &json!(n)).await;
    }
    assert_eq!(viewer.expect("goal").await.offset(), 2);
    drop(viewer);
    app.finish().await;
}
