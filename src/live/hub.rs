//! The hub: hears what topics announce, encodes each message once, and wakes the viewers of its topic.
//!
//! A viewer holds a place in its topic and pulls; nothing is queued for it. One that is slow reads older
//! messages from the topic itself, and one that is too slow is reset: never a silent gap, never memory that
//! grows with somebody's bad connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scorewire_core::board_reader::BoardReader;
use scorewire_core::domain::{BoardId, Position, TopicName};
use scorewire_core::metrics::Metrics;
use scorewire_core::ports::{Announcement, Clock, Topics};
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::tail::Tail;
use super::viewer::Viewer;

/// Missed messages that the hub reads for its viewers; when there are more, they read for themselves.
const CATCH_UP: usize = 1_024;

/// Where a viewer wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// With a snapshot of now.
    Now,
    /// Right after a message it has seen.
    After(Position),
    /// With the first message of a Unix second.
    Since(i64),
    /// It named a place that is none.
    Garbled,
}

/// Fans topics out to the viewers of this process.
pub(crate) struct Hub {
    pub(super) topics: Arc<dyn Topics>,
    pub(super) boards: Arc<BoardReader>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) heartbeat: Duration,
    /// Cancelled when viewers shall go and come back.
    pub(super) closing: CancellationToken,
    topic_messages: usize,
    tails: Mutex<HashMap<TopicName, Arc<Tail>>>,
}

impl Hub {
    /// Starts listening to what topics announce. Must be called within a tokio runtime.
    pub(crate) fn start(wiring: &Wiring, settings: &Settings, closing: CancellationToken) -> Arc<Self> {
        let hub = Arc::new(Self {
            topics: Arc::clone(&wiring.topics),
            boards: Arc::clone(&wiring.boards),
            clock: Arc::clone(&wiring.clock),
            metrics: Arc::clone(&wiring.metrics),
            heartbeat: settings.heartbeat.0,
            closing,
            topic_messages: settings.topic_messages,
            tails: Mutex::default(),
        });
        let announcements = hub.topics.announcements();
        tokio::spawn(listen(Arc::clone(&hub), announcements));
        hub
    }

    /// A new viewer of a board.
    pub(crate) fn view_board(self: &Arc<Self>, board: BoardId, cursor: Cursor) -> Viewer {
        let topic = TopicName::of_board(&board);
        let tail = self.tail(&topic);
        Viewer::new(Arc::clone(self), board, topic, &tail, cursor)
    }

    fn tail(&self, topic: &TopicName) -> Arc<Tail> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tails.entry(topic.clone()).or_insert_with(|| Arc::new(Tail::new(self.topic_messages))))
    }

    async fn take(&self, announced: Announcement) {
        let tail = {
            let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
            tails.get(&announced.topic).map(Arc::clone)
        };
        let Some(tail) = tail else { return };
        if !tail.is_followed_by(&announced)
            && let Some(newest) = tail.newest()
            && let Some(missed) = self.missed(&announced.topic, newest).await
        {
            if !missed.messages.is_empty() {
                tail.extend(&missed);
            }
            if announced.messages.is_empty() {
                return;
            }
        }
        tail.extend(&announced);
    }

    /// What a topic has after a place: read once here instead of by every viewer. `None` when the place is lost or the
    /// topic is away; viewers then find out for themselves.
    async fn missed(&self, topic: &TopicName, newest: Position) -> Option<Announcement> {
        let messages = self.topics.after(topic, &newest, CATCH_UP).await.ok()?.ok()?;
        Some(Announcement { topic: topic.clone(), epoch: newest.epoch, messages: messages.into() })
    }
}

async fn listen(hub: Arc<Hub>, mut announcements: broadcast::Receiver<Announcement>) {
    loop {
        match announcements.recv().await {
            Ok(announced) => hub.take(announced).await,
            // The next announcement does not follow the last one taken: what is between is read from the topic.
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the hub lagged behind the topics and catches up");
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
