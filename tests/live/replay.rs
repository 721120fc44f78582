//! Coming back: by header, by query, by time, and when the place is lost.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{SseEvent, Stream, TestApp};

async fn updates(viewer: &mut Stream, count: usize) -> Vec<SseEvent> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(viewer.next_of("update").await);
    }
    seen
}

fn scores(updates: &[SseEvent]) -> Vec<i64> {
    updates.iter().map(|update| update.data["score"].as_i64().expect("a score")).collect()
}

async fn reset(viewer: &mut Stream) -> String {
    let reset = viewer.expect("reset").await;
    let snapshot = viewer.expect("snapshot").await;
    assert_eq!(reset.id, snapshot.id);
    reset.data["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_comes_back_gets_exactly_what_it_missed() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut viewer = app.stream("", None).await;
    viewer.expect("snapshot").await;
    app.decided(1, 1).await;
    let seen = viewer.next_of("update").await;
    drop(viewer);
    for _ in 0..5 {
        app.decided(1, 1).await;
    }
    for (query, header) in [(String::new(), Some(seen.id.as_str())), (format!("?last_event_id={}", seen.id), None)] {
        let mut viewer = app.stream(&query, header).await;
        let top = viewer.expect("top").await;
        assert_eq!(top.offset(), seen.offset() + 1, "the very next message comes first");
        let missed = updates(&mut viewer, 5).await;
        assert_eq!(scores(&missed), [2, 3, 4, 5, 6]);
        viewer.expect("top").await;
        app.decided(1, 0 - 1).await;
        assert_eq!(viewer.expect("update").await.data["increment"], -1);
        app.decided(1, 1).await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_is_newer_than_the_query() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut viewer = app.stream("", None).await;
    let first = viewer.expect("snapshot").await;
    app.decided(1, 1).await;
    app.decided(1, 1).await;
    let second = updates(&mut viewer, 2).await.remove(1);
    viewer.expect("top").await;
    drop(viewer);
    let mut viewer = app.stream(&format!("?last_event_id={}", first.id), Some(&second.id)).await;
    app.decided(1, 1).await;
    assert_eq!(viewer.next_of("update").await.data["score"], 3);
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn since_is_inclusive_and_refuses_a_time_before_the_topic_began() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut viewer = app.stream("?since=1", None).await;
    assert_eq!(reset(&mut viewer).await, "too-old");
    app.decided(1, 1).await;
    drop(viewer);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // A second that began after the topic did is complete in its memory.
    let next = now() + 1;
    crate::support::eventually("the next second", || async { (now() >= next).then_some(()) }).await;
    app.decided(1, 1).await;
    app.decided(1, 1).await;
    let mut viewer = app.stream(&format!("?since={next}"), None).await;
    assert_eq!(scores(&updates(&mut viewer, 2).await), [2, 3]);
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_lost_is_said_and_made_up_for_by_a_snapshot() {
    let app = TestApp::with(|settings| settings.topic_messages = Some(4)).await;
    app.add_user(1).await;
    let mut viewer = app.stream("", None).await;
    let old = viewer.expect("snapshot").await;
    for _ in 0..4 {
        app.decided(1, 1).await;
    }
    let cases = [
        (old.id.clone(), "too-old"),
        (format!("0123456789abcdef:{}", old.offset()), "epoch-changed"),
        (old.id.replace(&format!(":{}", old.offset()), ":999999"), "ahead-of-topic"),
        ("garbage".to_owned(), "unknown-cursor"),
        ("a:b:c".to_owned(), "unknown-cursor"),
    ];
    for (id, reason) in cases {
        let mut viewer = app.stream("", Some(&id)).await;
        assert_eq!(reset(&mut viewer).await, reason, "{id}");
        drop(viewer);
    }
    drop(viewer);
    app.finish().await;
}
