//! When a viewer of a feed is sent something: on connect, on changes, on the beat.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::start;
use crate::support::Stream;

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_message_comes_at_once_and_to_the_byte() {
    let app = start().await;
    app.publish("quiet", json!({ "price": 1 })).await;
    let data = json!({ "name": "Zoë \"of\" \\ x", "price": 73_838.5 });
    let (id, message) = app.publish("quiet", data.clone()).await;
    let timestamp = message.at.unix_seconds();
    for path in ["/feeds/quiet/stream", "/stream"] {
        let mut viewer = app.feed(path, None).await;
        assert_eq!(viewer.response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let expected = format!("id: {id}\ndata: {{\"timestamp\":{timestamp},\"data\":{data}}}\n\n");
        assert_eq!(viewer.text_to("\n\n").await, expected, "{path}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_value_there_is_a_comment_and_then_the_value() {
    let app = start().await;
    let mut viewer = app.feed("/feeds/beat/stream", None).await;
    viewer.comment().await;
    let (id, _) = app.publish("beat", json!(1)).await;
    assert_eq!(viewer.value().await, (id, json!(1)));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beat_repeats_the_latest_message_under_its_id() {
    let app = start().await;
    let (first, _) = app.publish("beat", json!(1)).await;
    let mut viewer = app.feed("/feeds/beat/stream", None).await;
    assert_eq!(viewer.values(4).await, vec![(first.clone(), json!(1)); 4]);
    let (second, _) = app.publish("beat", json!(2)).await;
    let mut next = viewer.value().await;
    while next.0 == first {
        next = viewer.value().await;
    }
    assert_eq!(next, (second.clone(), json!(2)));
    assert_eq!(viewer.values(3).await, vec![(second, json!(2)); 3]);
    let metrics = app.get("/metrics").await.text().await.expect("text");
    let told_once = "scorewire_publish_to_viewer_seconds_count 1";
    assert!(metrics.lines().any(|line| line == told_once), "repeats are not news: {metrics}");
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_wait_for_the_beat() {
    let app = start().await;
    let (id, _) = app.publish("few", json!(0)).await;
    let mut viewer = app.feed("/feeds/few/stream", None).await;
    assert_eq!(viewer.value().await, (id, json!(0)));
    for n in 1..4 {
        let (id, _) = app.publish("few", json!(n)).await;
        assert_eq!(viewer.value().await, (id, json!(n)), "the beat is in an hour");
    }
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_may_choose_a_slower_beat() {
    let app = start().await;
    let (id, _) = app.publish("beat", json!(1)).await;
    let mut viewer = app.feed("/feeds/beat/stream?every=150ms", None).await;
    assert_eq!(viewer.values(3).await, vec![(id, json!(1)); 3], "repeated on it");
    let (id, _) = app.publish("beat", json!(2)).await;
    assert_eq!(eventually_value(&mut viewer, 2).await, id);
    for faster in ["99ms", "20ms"] {
        let refused = app.get(&format!("/feeds/beat/stream?every={faster}")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let problem: Value = refused.json().await.expect("JSON");
        assert_eq!(problem["type"], "/problems/invalid-request");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("100ms")), "{problem}");
    }
    drop(viewer);
    app.finish().await;
}

async fn eventually_value(viewer: &mut Stream, value: i32) -> String {
    loop {
        let (id, data) = viewer.value().await;
        if data == json!(value) {
            return id;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_beat_of_the_feed_a_slower_one_sends_only_news() {
    let app = start().await;
    let first = app.publish_all("quiet", 0..1).await;
    let mut viewer = app.feed("/feeds/quiet/stream?every=50ms", None).await;
    assert_eq!(viewer.value().await, first[0]);
    let mut seen = 0;
    for round in 1..4 {
        let told = app.publish_all("quiet", round * 100..round * 100 + 20).await;
        loop {
            let (id, data) = viewer.value().await;
            let offset = id.rsplit_once(':').and_then(|(_, offset)| offset.parse::<u64>().ok()).expect("a place");
            assert!(offset > seen, "never again and never back: {offset} after {seen}");
            seen = offset;
            if Some(&(id, data)) == told.last() {
                break;
            }
        }
    }
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_nobody_waits_for_sends_only_the_latest() {
    let app = start().await;
    let mut viewer = app.feed("/feeds/quiet/stream?every=1500ms", None).await;
    viewer.comment().await;
    let told = app.publish_all("quiet", 0..30).await;
    let mut received = 1;
    while viewer.value().await != told[29] {
        received += 1;
    }
    assert!(received < 30, "what came between two beats is not sent");
    drop(viewer);
    app.finish().await;
}
