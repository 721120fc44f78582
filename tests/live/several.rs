//! Several topics on one stream of events, and single topics by their names.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Envelopes, Stream, TestApp};

async fn follow(app: &TestApp, query: &str, last_event_id: Option<&str>) -> Envelopes {
    let mut request = app.request(Method::GET, &format!("/topics/stream?{query}"));
    if let Some(id) = last_event_id {
        request = request.header("Last-Event-ID", id);
    }
    Envelopes::new(request.send().await.expect("an answer"))
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_share_a_stream_and_its_id_is_all_their_places() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let query = "topic=scores&topic=match:1&topic=scores";
    let mut viewer = follow(&app, query, None).await;
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(viewer.next().await.1);
    }
    let of = |kind: &str, topic: &str| begun.iter().filter(|m| m["type"] == kind && m["topic"] == topic).count();
    assert_eq!(
        (of("subscribed", "scores"), of("message", "scores"), of("subscribed", "match:1")),
        (1, 1, 1),
        "{begun:?}"
    );
    app.note("match:1", "goal", &json!({ "minute": 3 })).await;
    let (id, goal) = viewer.next().await;
    assert_eq!(
        (&goal["topic"], &goal["event"], &goal["data"]["minute"]),
        (&json!("match:1"), &json!("goal"), &json!(3))
    );
    let id = id.expect("a place");
    let places: Vec<_> = id.split(',').filter_map(|place| place.split_once('@')).collect();
    assert_eq!(places.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), ["scores", "match:1"]);
    assert_eq!(goal["id"], places[1].1);
    drop(viewer);
    app.decided(1, 1).await;
    app.note("match:1", "goal", &json!({ "minute": 4 })).await;
    for (query, header) in [(query.to_owned(), Some(id.as_str())), (format!("{query}&last_event_id={id}"), None)] {
        let mut viewer = follow(&app, &query, header).await;
        let (mut recovered, mut missed) = (0, Vec::new());
        while missed.len() < 3 {
            let (_, message) = viewer.next().await;
            match message["type"].as_str() {
                Some("subscribed") => {
                    assert_eq!(message["recovered"], true);
                    recovered += 1;
                }
                _ => missed.push(message["event"].clone()),
            }
        }
        missed.sort_by_key(Value::to_string);
        assert_eq!((recovered, missed), (2, vec![json!("goal"), json!("top"), json!("update")]));
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_on_several_topics_is_said_where_pages_see_it() {
    let app = TestApp::with(|settings| settings.heartbeat = Some("50ms".parse().expect("a span"))).await;
    let mut viewer = follow(&app, "topic=match:1", None).await;
    assert_eq!(viewer.next().await.1["type"], "subscribed");
    for _ in 0..3 {
        assert_eq!(viewer.next().await, (None, json!({ "type": "heartbeat" })));
    }
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_lost_topic_by_topic() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut first = Stream::new(app.get("/scores/stream").await);
    let id = first.expect("snapshot").await.id;
    drop(first);
    let mut viewer = follow(&app, "topic=scores&topic=match:1", Some(&format!("scores@{id},match:1@zz:9"))).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let (_, message) = viewer.next().await;
        told.push((message["topic"].clone(), message["type"].clone(), message["recovered"].clone()));
    }
    told.sort_by_key(|told| format!("{told:?}"));
    assert_eq!(
        told,
        [
            (json!("match:1"), json!("reset"), Value::Null),
            (json!("match:1"), json!("subscribed"), json!(false)),
            (json!("scores"), json!("subscribed"), json!(true)),
        ]
    );
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_topic_is_followed_by_its_name() {
    let app = TestApp::start().await;
    for path in ["/topics/match:9/stream", "/topics/match%3A9/stream"] {
        let mut viewer = Stream::new(app.get(path).await);
        viewer.comment().await;
        app.note("match:9", "yellow-card", &json!({ "player": "A" })).await;
        let card = viewer.expect("yellow-card").await;
        assert_eq!(card.data, json!({ "player": "A" }));
        drop(viewer);
        let mut again = Stream::new(app.get(&format!("{path}?last_event_id={}", card.id)).await);
        app.note("match:9", "goal", &json!({})).await;
        assert_eq!(again.expect("goal").await.offset(), card.offset() + 1);
        drop(again);
        let mut lost = Stream::new(app.get(&format!("{path}?last_event_id=x:1")).await);
        let reset = lost.expect("reset").await;
        assert_eq!((&reset.data["reason"], reset.offset()), (&json!("epoch-changed"), card.offset() + 1));
    }
    let mut board = Stream::new(app.get("/topics/scores/stream").await);
    board.expect("snapshot").await;
    drop(board);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_topic_is_said_before_a_stream_begins() {
    let app = TestApp::with(|settings| settings.max_topics_per_viewer = Some(2)).await;
    for (path, status, slug) in [
        ("/topics/weather/stream", StatusCode::NOT_FOUND, "unknown-topic"),
        ("/topics/scores:weekly/stream", StatusCode::NOT_FOUND, "unknown-topic"),
        ("/topics/a%20b/stream", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/topics/stream", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/topics/stream?topic=scores&topic=match:1&topic=match:2", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/topics/stream?topic=weather", StatusCode::NOT_FOUND, "unknown-topic"),
        ("/scores/stream?topic=scores", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/scores/stream?since=yesterday", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/scores/stream?every=1ms", StatusCode::BAD_REQUEST, "invalid-request"),
        ("/scores/stream?conflate=maybe", StatusCode::BAD_REQUEST, "invalid-request"),
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        let problem: Value = answer.json().await.expect("JSON");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(slug)), "{path}: {problem}");
    }
    app.finish().await;
}
