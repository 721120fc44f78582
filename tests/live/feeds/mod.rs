//! Streams of feeds: what their viewers are sent, when, and after what.

mod beat;
mod found;
mod replay;

use reqwest::{Method, StatusCode};
use scorewire_core::settings::Overrides;
use serde_json::{Value, json};

use crate::support::{Deployment, Storage, Stream, TestApp, within};

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
