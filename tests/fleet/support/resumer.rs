//! A viewer that comes back with its place whatever ended its connection, and counts what is wrong with what it sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::{Fleet, lasting};

/// How a viewer follows its topic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// `/topics/{topic}/stream`.
    Events,
    /// `/topics/stream?topic=…`.
    Several,
    /// `/ws`.
    Socket,
}

/// What it saw so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Epoch and offset of the newest message.
    pub(crate) place: Option<(String, u64)>,
    pub(crate) messages: u64,
    pub(crate) resets: u64,
    pub(crate) connects: u64,
    /// Messages that do not follow the one before, without a reset.
    pub(crate) gaps: u64,
    /// Messages seen before.
    pub(crate) doubled: u64,
}

impl Tally {
    fn begin(&mut self, id: &str) {
        self.place = split(id);
    }

    fn note(&mut self, id: &str) {
        let next = split(id);
        if let (Some((epoch, offset)), Some((old_epoch, old_offset))) = (&next, &self.place) {
            if epoch != old_epoch || *offset > old_offset + 1 {
                self.gaps += 1;
            } else if offset <= old_offset {
                self.doubled += 1;
            }
        }
        self.messages += 1;
        self.place = next;
    }

    fn id(&self) -> Option<String> {
        self.place.as_ref().map(|(epoch, offset)| format!("{epoch}:{offset}"))
    }
}

fn split(id: &str) -> Option<(String, u64)> {
    let (epoch, offset) = id.split_once(':')?;
    Some((epoch.to_owned(), offset.parse().ok()?))
}

/// The viewer, until it is dropped.
pub(crate) struct Resumer {
    tally: Arc<Mutex<Tally>>,
    watching: JoinHandle<()>,
}

impl Resumer {
    /// Begins to follow a topic, first at one API process and, whenever that ends, at the next.
    pub(crate) fn follow(fleet: &Arc<Fleet>, n: usize, topic: &'static str, way: Way) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (noted, fleet) = (Arc::clone(&tally), Arc::clone(fleet));
        let watching = tokio::spawn(async move {
            let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
            for attempt in n.. {
                let url = fleet.apis[attempt % fleet.apis.len()].url();
                noted.lock().expect("a lock").connects += 1;
                match way {
                    Way::Socket => drop(over_socket(&url, topic, &noted).await),
                    Way::Events | Way::Several => drop(over_events(&http, &url, topic, way, &noted).await),
                }
                lasting(Duration::from_millis(rand_ms(attempt))).await;
            }
        });
        Self { tally, watching }
    }

    /// What it saw so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().expect("a lock").clone()
    }
}

impl Drop for Resumer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// A pause of 50 to 306 ms that differs from viewer to viewer.
fn rand_ms(seed: usize) -> u64 {
    50 + (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 256
}

async fn over_events(http: &reqwest::Client, url: &str, topic: &str, way: Way, tally: &Mutex<Tally>) -> Option<()> {
    let place = tally.lock().expect("a lock").id();
    let (path, place) = match way {
        Way::Several => {
            (format!("/topics/stream?topic={topic}&conflate=0"), place.map(|place| format!("{topic}@{place}")))
        }
        _ => (format!("/topics/{topic}/stream?conflate=0"), place),
    };
    let mut request = http.get(format!("{url}{path}"));
    if let Some(place) = place {
        request = request.header("Last-Event-ID", place);
    }
    let mut response = request.send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut buffer = String::new();
    while let Some(block) = block(&mut response, &mut buffer).await {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let mut tally = tally.lock().expect("a lock");
        match way {
            Way::Several => {
                if let Some(Ok(message)) = field("data:").map(serde_json::from_str::<Value>) {
                    note(&mut tally, &message);
                }
            }
            _ => match (field("event:"), field("id:")) {
                (Some("reset"), Some(id)) => {
                    tally.resets += 1;
                    tally.begin(id);
                }
                (Some("snapshot"), Some(id)) => tally.begin(id),
                (Some(_), Some(id)) => tally.note(id),
                _ => {}
            },
        }
    }
    Some(())
}

async fn block(response: &mut Response, buffer: &mut String) -> Option<String> {
    loop {
        if let Some(end) = buffer.find("\n\n") {
            let block = buffer[..end].to_owned();
            buffer.drain(..end + 2);
            return Some(block);
        }
        let chunk = response.chunk().await.ok()??;
        buffer.push_str(std::str::from_utf8(&chunk).expect("whole lines of ASCII"));
    }
}

async fn over_socket(url: &str, topic: &str, tally: &Mutex<Tally>) -> Option<()> {
    let address = url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut socket, _) = client_async(format!("ws://{address}/ws"), stream).await.ok()?;
    let mut request = json!({ "type": "subscribe", "topic": topic, "conflate": false });
    if let Some(place) = tally.lock().expect("a lock").id() {
        request["last_event_id"] = place.into();
    }
    socket.send(Message::text(request.to_string())).await.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let message = serde_json::from_str(&text).expect("JSON");
            note(&mut tally.lock().expect("a lock"), &message);
        }
    }
    Some(())
}

fn note(tally: &mut Tally, message: &Value) {
    let Some(id) = message["id"].as_str() else { return };
    match (message["type"].as_str(), message["event"].as_str()) {
        // Who named a place stands there already.
        (Some("subscribed"), _) if tally.place.is_none() => tally.begin(id),
        (Some("reset"), _) => {
            tally.resets += 1;
            tally.begin(id);
        }
        (Some("message"), Some("snapshot")) => tally.begin(id),
        (Some("message"), _) => tally.note(id),
        _ => {}
    }
}
