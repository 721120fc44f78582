//! Streams of feeds: the latest at once, changes at once, repeats on the beat, and a replay of what the ring holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode};
use scorewire::http::auth::Grant;
use scorewire::server;
use scorewire_core::domain::{Message, Position, TopicName};
use scorewire_core::settings::Overrides;
use scorewire_core::settings::units::StreamAccess;
use serde_json::{Value, json};

use crate::support::{Deployment, Envelopes, Socket, Storage, Stream, TestApp, eventually, within};

/// Three feeds whose source nobody can reach: what they say, the tests say.
const FEEDS: &str = r#"
    [[feeds]]
    name = "quiet"
    url = "http://127.0.0.1:1/"
    fetch_every = "1h"

    [[feeds]]
    name = "beat"
    url = "http://127.0.0.1:1/"
    fetch_every = "1h"
    transmit_every = "100ms"

    [[feeds]]
    name = "few"
    url = "http://127.0.0.1:1/"
    fetch_every = "1h"
    transmit_every = "1h"
    keep_messages = 3
"#;

async fn start() -> TestApp {
    with(|_| {}).await
}

async fn with(change: impl FnOnce(&mut Overrides)) -> TestApp {
    TestApp::with_feeds(Storage::empty(Deployment::of_this_run()).await, FEEDS, change).await
}

impl TestApp {
    /// Publishes a value of a feed as a fetch does; the message as its topic holds it.
    async fn publish(&self, feed: &str, data: Value) -> (String, Message) {
        let name = format!("feed:{feed}");
        self.note(&name, "value", &data).await;
        let topic = TopicName::parse(&name).expect("a topic");
        let topics = &self.server.wiring.topics;
        let place = topics.position(&topic).await.expect("available");
        let before = Position { offset: place.offset - 1, ..place.clone() };
        let kept = topics.after(&topic, &before, 1).await.expect("available").expect("kept");
        (place.to_string(), (*kept[0]).clone())
    }

    async fn publish_all(&self, feed: &str, values: std::ops::Range<i32>) -> Vec<(String, Value)> {
        let mut told = Vec::new();
        for n in values {
            told.push((self.publish(feed, json!(n)).await.0, json!(n)));
        }
        told
    }

    async fn feed(&self, path: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let stream = Stream::new(request.send().await.expect("an answer"));
        assert_eq!(stream.response.status(), StatusCode::OK);
        stream
    }
}

impl Stream {
    /// Id and `data` of the next message.
    async fn value(&mut self) -> (String, Value) {
        let block = within("a message", self.block()).await.expect("the stream goes on");
        let lines: Vec<_> = block.split('\n').collect();
        let [id, data] = lines[..] else { panic!("a message is id and data: {block:?}") };
        let id = id.strip_prefix("id: ").expect("an id").to_owned();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert!(data["timestamp"].is_i64(), "{data}");
        (id, data["data"].clone())
    }

    async fn values(&mut self, count: usize) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value().await);
        }
        values
    }

    /// Everything that comes until the text ends so.
    async fn text_to(&mut self, end: &str) -> String {
        let mut text = String::new();
        within("a text", async {
            while !text.ends_with(end) {
                let chunk = self.response.chunk().await.expect("no break").expect("the stream goes on");
                text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            }
        })
        .await;
        text
    }
}

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
