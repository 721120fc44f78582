//! A viewer: the topics it follows, and everything that may end it. Transports ask it for the next step.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::select_all;
use scorewire_core::domain::{Position, TopicName};
use tokio::time::{Instant, sleep_until};

use super::close::Close;
use super::hub::Hub;
use super::registry::Seat;
use super::step::Step;
use super::subscription::{Follow, Subscription};

/// A connected viewer.
pub(crate) struct Viewer {
    hub: Arc<Hub>,
    seat: Seat,
    subscriptions: Vec<Subscription>,
    /// Whose turn it is, so that a busy topic does not keep others waiting.
    turn: usize,
    expires: Option<Instant>,
    /// When it leaves a server that goes away.
    leaves: Option<Instant>,
    /// When something was last sent.
    sent: Instant,
}

impl Viewer {
    pub(super) fn new(hub: Arc<Hub>, seat: Seat, expires: Option<SystemTime>) -> Self {
        let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        let expires = expires.and_then(|at| Instant::now().checked_add(left(at)));
        Self { hub, seat, subscriptions: Vec::new(), turn: 0, expires, leaves: None, sent: Instant::now() }
    }

    /// Begins to follow a topic; one that was followed begins anew.
    pub(crate) fn follow(&mut self, follow: Follow) {
        self.unfollow(&follow.topic);
        let tail = self.hub.tail(&follow.topic);
        let subscription = Subscription::new(follow, tail);
        self.seat.entry.follow(Arc::clone(subscription.progress()));
        self.hub.metrics.topic_viewer(subscription.topic().as_str(), self.seat.entry.visitor.transport, 1);
        self.subscriptions.push(subscription);
    }

    /// Whether the topic was followed until now.
    pub(crate) fn unfollow(&mut self, topic: &TopicName) -> bool {
        let Some(index) = self.subscriptions.iter().position(|s| s.topic() == topic) else { return false };
        self.subscriptions.remove(index);
        self.seat.entry.unfollow(topic);
        self.hub.metrics.topic_viewer(topic.as_str(), self.seat.entry.visitor.transport, -1);
        true
    }

    /// How many topics it follows.
    pub(crate) const fn topics(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether it follows a topic.
    pub(crate) fn follows(&self, topic: &TopicName) -> bool {
        self.subscriptions.iter().any(|s| s.topic() == topic)
    }

    /// Whether there is such a topic.
    pub(crate) fn knows(&self, topic: &TopicName) -> bool {
        self.hub.has(topic)
    }

    /// The silence after which it is sent something.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.hub.heartbeat
    }

    /// Its places, by topic; one that has not begun has none.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&TopicName, &Position)> {
        self.subscriptions.iter().filter_map(|s| Some((s.topic(), s.position()?)))
    }

    /// The next thing to send. Nothing is lost when the returned future is dropped.
    pub(crate) async fn next(&mut self) -> Step {
        self.seat.entry.hand(None);
        let step = loop {
            if let Some(close) = self.must_end() {
                break Step::End(close);
            }
            if let Some(step) = self.look().await {
                break step;
            }
            if self.sent.elapsed() >= self.hub.heartbeat {
                break Step::Heartbeat;
            }
            self.wait().await;
        };
        self.sent = Instant::now();
        let entry = &self.seat.entry;
        entry.hand(Some(self.hub.clock.now()));
        match &step {
            Step::Batch { frames, .. } => {
                entry.deliver(frames.len() as u64);
                self.hub.count_delivered(entry.visitor.transport, frames);
                if let Some(last) = frames.last() {
                    tracing::debug!(topic = %last.topic, place = %last.position(), "handed to a viewer");
                }
            }
            Step::Repeat(_) => {
                entry.deliver(1);
                self.hub.count_repeated(entry.visitor.transport);
            }
            Step::Began { began, .. } => self.hub.count_begun(began),
            Step::End(close) => self.hub.metrics.closed(entry.visitor.transport, close.code()),
            Step::Heartbeat => {}
        }
        step
    }

    fn must_end(&mut self) -> Option<Close> {
        let now = Instant::now();
        if self.hub.closing.is_cancelled() && self.leaves.is_none() {
            self.leaves = Some(now + self.hub.drain_window.mul_f64(rand::random_range(0.0..1.0)));
        }
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if over(self.leaves) {
            Some(Close::Draining)
        } else if over(self.expires) {
            Some(Close::Reauthenticate)
        } else {
            self.seat.entry.ending()
        }
    }

    /// What the first topic has that has anything, beginning with the one whose turn it is.
    async fn look(&mut self) -> Option<Step> {
        for n in 0..self.subscriptions.len() {
            let index = (self.turn + n) % self.subscriptions.len();
            let subscription = &mut self.subscriptions[index];
            match subscription.advance(&self.hub).await {
                Ok(None) => {}
                Ok(Some(step)) => {
                    self.turn = index + 1;
                    return Some(step);
                }
                Err(error) => {
                    tracing::warn!(topic = %subscription.topic(), %error, "a viewer waits for its topic");
                    subscription.postpone();
                    return Some(Step::Heartbeat);
                }
            }
        }
        None
    }

    /// Returns when there may be something to send.
    async fn wait(&mut self) {
        let Self { hub, seat, subscriptions, expires, leaves, sent, .. } = self;
        let now = Instant::now();
        let wakes = subscriptions.iter().filter_map(|s| s.wakes(now));
        let heartbeat = *sent + hub.heartbeat;
        let wake = wakes.chain(*expires).chain(*leaves).fold(heartbeat, Instant::min);
        // One that has to wait anyway need not hear of changes.
        let listening = subscriptions.iter_mut().filter(|s| s.rests_until(now).is_none());
        let mut listening: Vec<_> = listening.collect();
        let changed = async {
            match &mut listening[..] {
                [] => std::future::pending().await,
                [only] => only.changed().await,
                many => drop(select_all(many.iter_mut().map(|s| Box::pin(s.changed()))).await),
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(wake) => {}
            () = seat.entry.ended() => {}
            () = hub.closing.cancelled(), if leaves.is_none() => {}
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        for subscription in &self.subscriptions {
            let transport = self.seat.entry.visitor.transport;
            self.hub.metrics.topic_viewer(subscription.topic().as_str(), transport, -1);
        }
    }
}
