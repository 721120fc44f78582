//! State topics at a viewer's own pace: versions may be skipped, never reordered, and the view is right at every id.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Envelopes, Socket, TestApp};

/// Scores by user as a viewer knows them.
type View = BTreeMap<i64, i64>;

fn see(view: &mut View, message: &Value) {
    let number = |row: &Value, key: &str| row[key].as_i64().expect("a number");
    match message["event"].as_str() {
        Some("update") => {
            view.insert(number(&message["data"], "userId"), number(&message["data"], "score"));
        }
        Some("snapshot" | "top") => {
            for row in message["data"].as_array().expect("rows") {
                view.insert(number(row, "userId"), number(row, "score"));
            }
        }
        other => panic!("{other:?} is not said about boards"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paced_viewer_gets_the_newest_of_each_user_and_a_true_view_at_every_id() {
    let app = TestApp::start().await;
    for id in 1..=3 {
        app.add_user(id).await;
    }
    let mut unpaced = Socket::connect(app.server.address).await;
    unpaced.subscribe("scores", json!({})).await;
    let mut truth = BTreeMap::from([(unpaced.expect("subscribed").await["id"].to_string(), View::new())]);
    let mut paced = Socket::connect(app.server.address).await;
    paced.subscribe("scores", json!({ "every": "100ms" })).await;
    paced.expect("subscribed").await;
    let posts = (0..300).map(|n| {
        let app = &app;
        async move { app.accepted(n % 3 + 1, 1, None).await }
    });
    futures_util::future::join_all(posts).await;
    app.settled().await;
    let last = app.server.wiring.topics.position(&scorewire_core::domain::TopicName::stored("scores")).await;
    let last = json!(last.expect("a place").to_string());
    let mut view = View::new();
    loop {
        let message = unpaced.expect("message").await;
        see(&mut view, &message);
        truth.insert(message["id"].to_string(), view.clone());
        if message["id"] == last {
            break;
        }
    }
    let (mut view, mut received, mut checked) = (View::new(), 0, 0);
    loop {
        let message = paced.expect("message").await;
        received += 1;
        see(&mut view, &message);
        if let Some(expected) = message.get("id").and_then(|id| truth.get(&id.to_string())) {
            assert_eq!(&view, expected, "at {}", message["id"]);
            checked += 1;
        }
        if message["id"] == last {
            break;
        }
    }
    assert!(checked > 0 && received < 300, "{received} messages, {checked} with a place");
    drop((paced, unpaced));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_far_behind_is_conflated_unless_it_declines() {
    let app = TestApp::with(|settings| settings.conflate_behind = Some(20)).await;
    for id in 1..=2 {
        app.add_user(id).await;
    }
    let mut first = Envelopes::new(app.get("/topics/stream?topic=scores").await);
    let begun = first.next().await.1["id"].clone();
    drop(first);
    for n in 0..60 {
        app.decided(n % 2 + 1, 1).await;
    }
    let last = app.server.wiring.topics.position(&scorewire_core::domain::TopicName::stored("scores")).await;
    let last = json!(last.expect("a place").to_string());
    let place = format!("scores@{}", begun.as_str().expect("an id"));
    let mut counts = Vec::new();
    for conflate in ["1", "0"] {
        let url = format!("/topics/stream?topic=scores&conflate={conflate}&last_event_id={place}");
        let mut viewer = Envelopes::new(app.request(Method::GET, &url).send().await.expect("an answer"));
        let (mut count, mut view) = (0, View::new());
        loop {
            let (_, message) = viewer.next().await;
            if message["type"] == "message" {
                count += 1;
                see(&mut view, &message);
            }
            if message["id"] == last {
                break;
            }
        }
        assert_eq!(view, View::from([(1, 30), (2, 30)]), "conflate={conflate}");
        counts.push(count);
    }
    assert!(counts[0] <= 3, "the newest of two users and the top: {counts:?}");
    assert!(counts[1] >= 60, "{counts:?}");
    app.finish().await;
}
