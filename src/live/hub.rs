//! The hub: hears what topics announce, encodes each message once, and wakes the viewers of its topic.
//!
//! A viewer holds places in its topics and pulls; nothing is queued for it. One that is slow reads older messages from
//! the topic itself, and one that is too slow is ended or reset: never a silent gap, never memory that grows with
//! somebody's bad connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use scorewire_core::board_reader::BoardReader;
use scorewire_core::domain::{Keeping, Message, Position, TopicKind, TopicName};
use scorewire_core::feed_shelf::{FeedShelf, Shown};
use scorewire_core::metrics::{Metrics, Transport};
use scorewire_core::ports::{Announcement, Clock, PortError, StoredFeed, Topics};
use scorewire_core::settings::{Feed, Settings};
use scorewire_core::wiring::Wiring;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::frame::Frame;
use super::registry::{Entry, Registry, ViewerLimits, Visitor};
use super::step::Began;
use super::tail::Tail;
use super::viewer::Viewer;

/// Missed messages that the hub reads for its viewers; when there are more, they read for themselves.
const CATCH_UP: usize = 1_024;
/// Between two looks at who is slow.
const SWEEP: Duration = Duration::from_secs(1);

/// Fans topics out to the viewers of this process.
pub(crate) struct Hub {
    pub(super) topics: Arc<dyn Topics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) heartbeat: Duration,
    /// Messages a viewer of a state topic may be behind before it gets only the newest values.
    pub(super) conflate_behind: u64,
    /// Viewers of a server that stops leave within this time.
    pub(super) drain_window: Duration,
    /// Cancelled when viewers shall go and come back.
    pub(super) closing: CancellationToken,
    boards: Arc<BoardReader>,
    registry: Arc<Registry>,
    keeping: Arc<Keeping>,
    feeds: Arc<[Feed]>,
    shelf: Arc<FeedShelf>,
    tails: Mutex<HashMap<TopicName, Arc<Tail>>>,
}

impl Hub {
    /// Starts listening to what topics announce. Must be called within a tokio runtime.
    pub(crate) fn start(wiring: &Wiring, settings: &Settings, closing: CancellationToken) -> Arc<Self> {
        let limits = ViewerLimits::from_settings(settings);
        let hub = Arc::new(Self {
            topics: Arc::clone(&wiring.topics),
            clock: Arc::clone(&wiring.clock),
            metrics: Arc::clone(&wiring.metrics),
            heartbeat: settings.heartbeat.0,
            conflate_behind: settings.conflate_behind,
            drain_window: settings.drain_window.0,
            closing,
            boards: Arc::clone(&wiring.boards),
            registry: Arc::new(Registry::new(limits, Arc::clone(&wiring.metrics))),
            keeping: Arc::clone(&wiring.keeping),
            feeds: Arc::clone(&wiring.feeds),
            shelf: Arc::clone(&wiring.feed_shelf),
            tails: Mutex::default(),
        });
        let announcements = hub.topics.announcements();
        tokio::spawn(listen(Arc::clone(&hub), announcements));
        tokio::spawn(sweep(Arc::downgrade(&hub)));
        hub
    }

    /// A viewer that follows nothing yet, if there is a place for it.
    pub(crate) fn admit(self: &Arc<Self>, visitor: Visitor, expires: Option<SystemTime>) -> Option<Viewer> {
        let seat = self.registry.admit(visitor, self.clock.now())?;
        Some(Viewer::new(Arc::clone(self), seat, expires))
    }

    /// Every viewer and its number.
    pub(crate) fn viewers(&self) -> Vec<(u64, Arc<Entry>)> {
        self.registry.all()
    }

    /// Where a topic is now, and its state there if it has one.
    pub(super) async fn state(&self, topic: &TopicName) -> Result<(Position, Option<Arc<str>>), Arc<PortError>> {
        let Some(board) = topic.board() else { return Ok((self.topics.position(topic).await?, None)) };
        let snapshot = self.boards.snapshot(&board).await?.value;
        Ok((snapshot.position, Some(snapshot.top)))
    }

    /// Whether there is such a topic: every name but those of feeds that are not configured.
    pub(crate) fn has(&self, topic: &TopicName) -> bool {
        topic.feed().is_none_or(|name| self.feeds.iter().any(|feed| feed.name == name))
    }

    /// Where a topic is now, and its newest message as far as that is still known. What the tail has was read for many.
    pub(super) async fn latest(&self, tail: &Tail) -> Result<(Position, Option<Arc<Frame>>), Arc<PortError>> {
        if let Some(frame) = tail.latest() {
            return Ok((frame.position(), Some(frame)));
        }
        let Some(feed) = tail.topic().feed() else { return Ok((self.topics.position(tail.topic()).await?, None)) };
        let Shown { stored: StoredFeed { position, latest, .. }, .. } = self.shelf.read(&feed).await?;
        // Of an earlier life of the topic, it is at the place before the first all the same.
        let latest = latest.map(|latest| Arc::new(Message { offset: position.offset, ..(*latest).clone() }));
        let frame = latest.map(|latest| tail.hold(&position.epoch, &latest));
        Ok((position, frame))
    }

    pub(super) fn tail(&self, topic: &TopicName) -> Arc<Tail> {
        let new = || Arc::new(Tail::new(topic.clone(), self.keeping.of(topic).limits.messages));
        Arc::clone(self.tails().entry(topic.clone()).or_insert_with(new))
    }

    pub(super) fn count_delivered(&self, transport: Transport, frames: &[Arc<Frame>]) {
        let now = self.clock.now();
        for frame in frames {
            self.metrics.publish_to_viewer.observe(now.seconds_since(frame.message.at));
        }
        self.metrics.delivered(transport, frames.len() as u64);
    }

    /// Repeats are messages that were handed over, but say nothing about how long news takes.
    pub(super) fn count_repeated(&self, transport: Transport) {
        self.metrics.delivered(transport, 1);
    }

    pub(super) fn count_begun(&self, began: &Began) {
        if began.recovered {
            self.metrics.recovered(true);
        } else if began.reset.is_some() {
            self.metrics.resets.inc();
            self.metrics.recovered(false);
        }
    }

    async fn take(&self, announced: Announcement) {
        let tail = self.tails().get(&announced.topic).map(Arc::clone);
        let Some(tail) = tail else { return };
        if let Some(newest) = announced.messages.last() {
            self.metrics.broker_lag.observe(self.clock.now().seconds_since(newest.at));
        }
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

    /// Looks for what every topic has that was not heard: a topic may say nothing more for a long time.
    async fn look_at_all(&self) {
        let tails: Vec<_> = self.tails().values().map(Arc::clone).collect();
        for tail in tails {
            // Without a newest place nobody's place is known here, and viewers ask the topic themselves.
            let Some(newest) = tail.newest() else { continue };
            self.take(Announcement { topic: tail.topic().clone(), epoch: newest.epoch, messages: [].into() }).await;
        }
    }

    /// What a topic has after a place: read once here instead of by every viewer. `None` when the place is lost or the
    /// topic is away; viewers then find out for themselves.
    async fn missed(&self, topic: &TopicName, newest: Position) -> Option<Announcement> {
        let messages = self.topics.after(topic, &newest, CATCH_UP).await.ok()?.ok()?;
        Some(Announcement { topic: topic.clone(), epoch: newest.epoch, messages: messages.into() })
    }

    /// Forgets topics that nobody here follows any more; boards and feeds are few and stay.
    fn forget_deserted(&self) {
        let mut tails = self.tails();
        tails.retain(|topic, tail| {
            let stays = topic.kind() == TopicKind::State || Arc::strong_count(tail) > 1;
            if !stays {
                self.topics.forget(topic);
            }
            stays
        });
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<TopicName, Arc<Tail>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(hub: Arc<Hub>, mut announcements: broadcast::Receiver<Announcement>) {
    loop {
        match announcements.recv().await {
            Ok(announced) => hub.take(announced).await,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the hub lagged behind the topics and catches up");
                hub.look_at_all().await;
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn sweep(hub: Weak<Hub>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(hub) = hub.upgrade() else { return };
        hub.registry.sweep(hub.clock.now());
        hub.forget_deserted();
    }
}
