//! What the ring of a feed still holds, for those who come late or come back.

use std::time::{SystemTime, UNIX_EPOCH};

use scorewire_core::settings::units::{Maybe, Secret};
use serde_json::{Value, json};

use super::{FEEDS, start, with};
use crate::redis_server::PrivateRedis;
use crate::support::{Deployment, Storage, TestApp, eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn since_replays_all_that_the_ring_holds_and_goes_on() {
    let app = with(|settings| settings.conflate_behind = Some(2)).await;
    let few = app.publish_all("few", 0..5).await;
    let quiet = app.publish_all("quiet", 0..40).await;
    for since in [0, 1, 1_000_000_000] {
        let mut viewer = app.feed(&format!("/feeds/few/stream?since={since}"), None).await;
        assert_eq!(viewer.values(3).await, few[2..], "what is held, though more was");
        let mut viewer = app.feed(&format!("/stream?since={since}"), None).await;
        assert_eq!(viewer.values(40).await, quiet, "a replay leaves nothing out");
    }
    let mut viewer = app.feed("/feeds/few/stream?since=0", None).await;
    viewer.values(3).await;
    let (id, _) = app.publish("few", json!("live")).await;
    assert_eq!(viewer.value().await, (id, json!("live")));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn since_is_the_second_that_stands_in_the_messages() {
    let app = start().await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut told = vec![];
    for n in 0..3 {
        let next = now() + 1;
        eventually("the next second", || async { (now() >= next).then_some(()) }).await;
        for half in ["a", "b"] {
            let (id, message) = app.publish("quiet", json!(format!("{n}{half}"))).await;
            told.push((id, message));
        }
    }
    let second = told[3].1.at.unix_seconds();
    let expected: Vec<_> = told.iter().filter(|(_, message)| message.at.unix_seconds() >= second).collect();
    assert!(expected.len() < told.len());
    let mut viewer = app.feed(&format!("/feeds/quiet/stream?since={second}"), None).await;
    for (id, message) in expected {
        let block = within("a message", viewer.block()).await.expect("the stream goes on");
        assert_eq!(block, format!("id: {id}\ndata: {}", message.data));
        let data: Value = serde_json::from_str(&message.data).expect("JSON");
        assert_eq!(data["timestamp"], message.at.unix_seconds());
    }
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn since_the_future_begins_with_what_comes() {
    let app = start().await;
    app.publish("quiet", json!("old")).await;
    let mut viewer = app.feed("/feeds/quiet/stream?since=99999999999", None).await;
    viewer.comment().await;
    let (id, _) = app.publish("quiet", json!("new")).await;
    assert_eq!(viewer.value().await, (id, json!("new")));
    drop(viewer);
    // On a beat the latest is repeated all the same, however little of it was asked for.
    let (id, _) = app.publish("beat", json!("old")).await;
    let mut viewer = app.feed("/feeds/beat/stream?since=99999999999", None).await;
    assert_eq!(viewer.value().await, (id, json!("old")));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_gets_what_it_missed_or_the_latest_again() {
    let app = start().await;
    let told = app.publish_all("quiet", 0..5).await;
    let (second, last) = (told[1].0.as_str(), told[4].clone());
    for (path, header) in [
        ("/feeds/quiet/stream".to_owned(), Some(second)),
        (format!("/feeds/quiet/stream?last_event_id={second}"), None),
        (format!("/feeds/quiet/stream?since=0&last_event_id={}", told[0].0), Some(second)),
        (format!("/feeds/quiet/stream?every=100ms&last_event_id={second}"), None),
    ] {
        let mut viewer = app.feed(&path, header).await;
        assert_eq!(viewer.values(3).await, told[2..], "{path}");
    }
    for path in ["/feeds/quiet/stream", "/feeds/quiet/stream?every=1h"] {
        let mut viewer = app.feed(path, Some(&last.0)).await;
        assert_eq!(viewer.value().await, last, "nothing was missed, and something comes on every connect");
    }
    let mut viewer = app.feed("/feeds/quiet/stream", Some(&last.0)).await;
    viewer.value().await;
    let (id, _) = app.publish("quiet", json!(5)).await;
    assert_eq!(viewer.value().await, (id, json!(5)));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_place_is_said_in_a_comment_and_made_up_for_by_the_latest() {
    let app = start().await;
    let told = app.publish_all("few", 0..5).await;
    let (id, data) = &told[4];
    for (lost, reason) in [
        (told[0].0.clone(), "too-old"),
        ("0123456789abcdef:2".to_owned(), "epoch-changed"),
        (id.replace(":5", ":99"), "ahead-of-topic"),
        ("garbage".to_owned(), "unknown-cursor"),
    ] {
        let mut viewer = app.feed("/feeds/few/stream", Some(&lost)).await;
        let text = viewer.text_to(&format!(",\"data\":{data}}}\n\n")).await;
        assert!(text.starts_with(&format!(": reset {reason}\n\nid: {id}\ndata: {{\"timestamp\":")), "{text}");
    }
    app.finish().await;
}

/// Redis comes back with what it had on its disk: viewers are told that their places are lost, and the ring is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_loses_places_and_keeps_values() {
    let redis = PrivateRedis::start();
    let url = Secret(redis.url());
    let storage = Storage::empty(Deployment::Distributed).await;
    let app = TestApp::with_feeds(storage, FEEDS, |settings| settings.redis_url = Some(Maybe(Some(url)))).await;
    let told = app.publish_all("quiet", 0..3).await;
    let mut viewer = app.feed("/feeds/quiet/stream", None).await;
    assert_eq!(viewer.value().await, told[2]);
    redis.kill();
    redis.restart();
    let text = viewer.text_to(",\"data\":2}\n\n").await;
    let (_, reset) = text.split_once(": reset ").expect("the viewer is told");
    let (reason, message) = reset.split_once("\n\n").expect("a comment and a message");
    assert_eq!(reason, "epoch-changed");
    assert!(message.starts_with("id: ") && !message.contains(&told[2].0), "a place of the new life: {message}");
    let mut late = app.feed("/feeds/quiet/stream?since=0", None).await;
    let values: Vec<_> = late.values(3).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [json!(0), json!(1), json!(2)]);
    let (id, _) = app.publish("quiet", json!("on it goes")).await;
    assert!(id.ends_with(":4"), "{id}");
    for viewer in [&mut viewer, &mut late] {
        assert_eq!(viewer.value().await, (id.clone(), json!("on it goes")));
    }
    drop((viewer, late));
    app.finish().await;
}
