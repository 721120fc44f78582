//! A viewer that checks what it is sent while it is sent it: an unbroken sequence, or a reset with a snapshot.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::Fleet;
use crate::support::{SseEvent, Stream, eventually};

/// What it saw so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    pub(crate) resets: u64,
    /// The id of the newest event.
    pub(crate) place: String,
    /// The newest top of the board.
    pub(crate) top: Value,
    reset: bool,
}

/// A viewer of one API process, until it is dropped.
pub(crate) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// Begins to watch, from a place or with a snapshot.
    pub(crate) async fn of(fleet: &Fleet, api: usize, place: Option<&str>) -> Self {
        // Without the time limit of other requests: a stream does not end.
        let mut request = reqwest::Client::new().get(format!("{}/scores/stream", fleet.apis[api].url()));
        if let Some(place) = place {
            request = request.header("Last-Event-ID", place);
        }
        let mut stream = Stream::new(request.send().await.expect("an answer"));
        let seen = Arc::new(Mutex::new(Seen { place: place.unwrap_or_default().to_owned(), ..Seen::default() }));
        let noted = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            while let Some(event) = stream.next_at_leisure().await {
                noted.lock().expect("a lock").note(&event);
            }
        });
        Self { seen, watching }
    }

    /// Looks at what it saw; fails when it saw something that can not be.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().expect("no event was out of order"))
    }

    /// Waits until it saw what the test waits for.
    pub(crate) async fn when(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        eventually(what, || async { self.seen(&is).then_some(()) }).await;
    }

    /// Waits until its view of the board is what an API process answers.
    pub(crate) async fn agrees(&self, fleet: &Fleet, api: usize) {
        eventually("a viewer to see the board as it is", || async {
            let board: Value = fleet.get(api, "/scores").await.json().await.ok()?;
            self.seen(|seen| seen.top == board).then_some(())
        })
        .await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Seen {
    fn note(&mut self, event: &SseEvent) {
        let begins = match event.event.as_str() {
            "reset" => {
                self.resets += 1;
                self.reset = true;
                true
            }
            "snapshot" => {
                assert!(self.reset || self.place.is_empty(), "a snapshot out of nothing: {event:?}");
                self.reset = false;
                self.top = event.data.clone();
                true
            }
            "top" => {
                self.top = event.data.clone();
                false
            }
            "update" => false,
            other => panic!("an unknown event: {other}"),
        };
        if !begins {
            let (epoch, offset) = self.place.split_once(':').expect("a place");
            let next = format!("{epoch}:{}", offset.parse::<u64>().expect("an offset") + 1);
            assert_eq!(event.id, next, "the sequence is unbroken");
            assert!(!self.reset, "a reset comes with a snapshot");
        }
        self.events += 1;
        self.place.clone_from(&event.id);
    }
}
