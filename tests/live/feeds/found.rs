//! Where feeds are found: by name, by default, as topics, and by whom.

use std::time::{Duration, SystemTime};

use reqwest::{Method, StatusCode};
use scorewire::http::auth::Grant;
use scorewire::server;
use scorewire_core::settings::units::StreamAccess;
use serde_json::{Value, json};

use super::{start, with};
use crate::support::{Envelopes, Socket, Stream, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn head_ends_at_once() {
    let app = start().await;
    for path in ["/feeds/quiet/stream", "/stream"] {
        let head = app.request(Method::HEAD, path).send().await.expect("an answer");
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers()["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(head.bytes().await.expect("a body").len(), 0);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_websocket_a_feed_is_a_topic_like_any_other() {
    let app = start().await;
    let (first, message) = app.publish("beat", json!({ "price": 1.5 })).await;
    let told: Value = serde_json::from_str(&message.data).expect("JSON");
    let mut socket = Socket::connect(app.server.address).await;
    socket.subscribe("feed:beat", json!({})).await;
    let subscribed = socket.expect("subscribed").await;
    assert_eq!((&subscribed["id"], &subscribed["recovered"]), (&json!(first), &json!(false)));
    let snapshot = socket.expect("message").await;
    assert_eq!((&snapshot["event"], &snapshot["id"], &snapshot["data"]), (&json!("snapshot"), &json!(first), &told));
    // Nothing is repeated here: the change is the very next message.
    let (second, message) = app.publish("beat", json!({ "price": 2 })).await;
    let value = socket.expect("message").await;
    let told: Value = serde_json::from_str(&message.data).expect("JSON");
    assert_eq!((&value["event"], &value["id"], &value["data"]), (&json!("value"), &json!(second), &told));
    for unknown in ["feed:nope", "feed:UPPER", "feed:"] {
        socket.subscribe(unknown, json!({})).await;
        let error = socket.expect("error").await;
        assert_eq!((&error["code"], &error["topic"]), (&json!("unknown-topic"), &json!(unknown)));
    }
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_stream_as_topics_too() {
    let app = start().await;
    let (id, message) = app.publish("beat", json!(1)).await;
    let told: Value = serde_json::from_str(&message.data).expect("JSON");
    let mut one = app.feed("/topics/feed:beat/stream", None).await;
    let snapshot = one.expect("snapshot").await;
    assert_eq!((&snapshot.id, &snapshot.data), (&id, &told));
    let mut several = Envelopes::new(app.get("/topics/stream?topic=scores&topic=feed:beat").await);
    let mut told_by_several = several.next().await.1;
    while told_by_several["topic"] != "feed:beat" || told_by_several["event"] != "snapshot" {
        told_by_several = several.next().await.1;
    }
    assert_eq!(told_by_several["data"], told);
    let (id, _) = app.publish("beat", json!(2)).await;
    let value = one.expect("value").await;
    assert_eq!((&value.id, &value.data["data"]), (&id, &json!(2)));
    for path in ["/topics/feed:nope/stream", "/topics/stream?topic=feed:beat&topic=feed:nope"] {
        let refused = app.get(path).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(refused.json::<Value>().await.expect("JSON")["type"], "/problems/unknown-topic");
    }
    drop((one, several));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_not_configured_is_unknown() {
    let app = start().await;
    for path in ["/feeds/nope/stream", "/feeds/QUIET/stream", "/feeds/a%20b/stream"] {
        let refused = app.get(path).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{path}");
        let problem: Value = refused.json().await.expect("JSON");
        assert_eq!(problem["type"], "/problems/unknown-feed");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("GET /feeds")), "{problem}");
    }
    app.finish().await;
    let app = TestApp::start().await;
    let refused = app.get("/stream").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "/problems/unknown-feed");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("SOURCE_URL")), "{problem}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_feed_is_a_setting() {
    let app = with(|settings| settings.default_feed = Some("few".parse().expect("a name"))).await;
    app.publish("quiet", json!("first of the file")).await;
    let (id, _) = app.publish("few", json!("default")).await;
    let mut viewer = app.feed("/stream", None).await;
    assert_eq!(viewer.value().await, (id, json!("default")));
    drop(viewer);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_need_a_token_its_scope_names_the_feed() {
    let app = with(|settings| settings.streams = Some(StreamAccess::Token)).await;
    let (id, _) = app.publish("quiet", json!(1)).await;
    let token = |scope: &str| {
        let (tokens, _) = server::tokens(&app.settings).expect("a secret");
        let expires = SystemTime::now() + Duration::from_secs(600);
        tokens.issue("ann", &[scope.parse::<Grant>().expect("a scope")], expires).expect("a token")
    };
    let status = async |path: &str, token: Option<String>| {
        let request = app.request(Method::GET, path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.expect("an answer")
    };
    for path in ["/feeds/quiet/stream", "/stream"] {
        assert_eq!(status(path, None).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(status(path, Some(token("stream:scores"))).await.status(), StatusCode::FORBIDDEN);
        assert_eq!(status(path, Some(token("stream:feed:beat"))).await.status(), StatusCode::FORBIDDEN);
        for scope in ["stream:feed:*", "stream:feed:quiet", "stream:*"] {
            let mut viewer = Stream::new(status(path, Some(token(scope))).await);
            assert_eq!(viewer.value().await, (id.clone(), json!(1)), "{scope}");
        }
    }
    app.finish().await;
}
