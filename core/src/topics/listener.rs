//! Hears what all processes announce, over one connection of its own that is watched and repaired.
//!
//! What is published while the connection is broken is gone. So after every repair, or when a topic was silent for
//! long but moved on, listeners are told to look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::PubSub;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use super::redis::position;
use crate::domain::{Epoch, Event, Keeping, Message, Micros, Position, TopicName};
use crate::ports::{Announcement, PortError};
use crate::redis::{Audience, RedisHandle, Subscription, Watch};

/// Announcements a slow listener may lag behind before it has to read the topic instead.
const ANNOUNCEMENTS: usize = 1_024;

/// How closely the listening connection is watched.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Between two probes of the connection; by default 5 s.
    pub probe: Duration,
    /// How long a probe may stay unanswered; by default 5 s.
    pub answer: Duration,
    /// A topic silent for this long is compared with what was heard of it; by default 40 s.
    pub idle: Duration,
    /// The longest wait before connecting again, reached by doubling; by default 5 s.
    pub back_off: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { probe: seconds(5), answer: seconds(5), idle: seconds(40), back_off: seconds(5) }
    }
}

/// What was last heard of a topic that somebody follows.
struct Heard {
    position: Position,
    at: Instant,
}

/// Turns what is published into announcements of this process.
pub(super) struct Listener {
    handle: RedisHandle,
    keeping: Arc<Keeping>,
    timings: Timings,
    channels: String,
    subscription: Subscription,
    sender: broadcast::Sender<Announcement>,
    heard: Mutex<HashMap<TopicName, Heard>>,
}

impl Listener {
    pub(super) fn new(handle: RedisHandle, keeping: Arc<Keeping>, timings: Timings) -> Self {
        let channels = handle.channels();
        let Timings { probe, answer, back_off, .. } = timings;
        let watch = Watch { probe, answer, back_off };
        let subscription = Subscription::new(handle.clone(), format!("{channels}*"), "announcements", watch);
        let sender = broadcast::channel(ANNOUNCEMENTS).0;
        Self { handle, keeping, timings, channels, subscription, sender, heard: Mutex::default() }
    }

    pub(super) fn announcements(&self) -> broadcast::Receiver<Announcement> {
        self.sender.subscribe()
    }

    /// Notes a topic somebody follows. A place already noted stays: only what all listeners were told moves it.
    pub(super) fn follows(&self, topic: &TopicName, position: &Position) {
        let mut heard = self.lock();
        if !heard.contains_key(topic) {
            heard.insert(topic.clone(), Heard { position: position.clone(), at: Instant::now() });
        }
    }

    /// A topic that nobody follows any more is not looked at any more.
    pub(super) fn forget(&self, topic: &TopicName) {
        self.lock().remove(topic);
    }

    /// Listens for ever, over this connection first.
    pub(super) async fn listen(self: Arc<Self>, first: PubSub) {
        self.subscription.keep(first, self.as_ref()).await;
    }

    /// A connection that receives all our channels.
    pub(super) async fn subscribe(&self) -> Result<PubSub, PortError> {
        self.subscription.open().await
    }

    /// Followed topics and what was last heard of them: all, or the silent ones.
    fn followed(&self, all: bool) -> Vec<(TopicName, Position)> {
        let silent = |heard: &Heard| all || heard.at.elapsed() >= self.timings.idle;
        let heard = self.lock();
        heard.iter().filter(|(_, h)| silent(h)).map(|(topic, h)| (topic.clone(), h.position.clone())).collect()
    }

    fn tell(&self, announcement: Announcement, offset: Option<u64>) {
        // An announcement without messages and without a place begins a new life.
        let position = Position { epoch: announcement.epoch.clone(), offset: offset.unwrap_or(0) };
        self.lock().insert(announcement.topic.clone(), Heard { position, at: Instant::now() });
        // No listener is no failure: viewers come and go.
        let _ = self.sender.send(announcement);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audience for Listener {
    fn hear(&self, channel: &str, payload: &[u8]) {
        let name = channel.strip_prefix(&self.channels);
        let Some(announcement) = name.and_then(|name| parse(name, payload)) else {
            tracing::warn!(channel, "an announcement can not be read");
            return;
        };
        let offset = announcement.messages.last().map(|newest| newest.offset);
        self.tell(announcement, offset);
    }

    /// Tells listeners to look: at every followed topic after a repair, later at those that moved on unheard.
    async fn attend(&self, repaired: bool) -> PortError {
        let mut everything = repaired;
        loop {
            for (topic, known) in self.followed(everything) {
                let now = match position(&self.handle, &self.keeping, &topic).await {
                    Ok(now) => now,
                    Err(error) => return error,
                };
                if everything || now != known {
                    let look = Announcement { topic, epoch: now.epoch, messages: [].into() };
                    self.tell(look, Some(now.offset));
                } else if let Some(heard) = self.lock().get_mut(&topic) {
                    heard.at = Instant::now();
                }
            }
            everything = false;
            sleep(self.timings.idle / 4).await;
        }
    }
}

/// Reads `<epoch> <first offset> <time>` and a line of `<event> <data>` for each message.
fn parse(topic: &str, payload: &[u8]) -> Option<Announcement> {
    let mut lines = std::str::from_utf8(payload).ok()?.split('\n');
    let mut head = lines.next()?.split(' ');
    let epoch = Epoch::parse(head.next()?).ok()?;
    let first: u64 = head.next()?.parse().ok()?;
    let at = Micros(head.next()?.parse().ok()?);
    let messages = lines.zip(first..).map(|(line, offset)| {
        let (name, data) = line.split_once(' ')?;
        Some(Arc::new(Message { offset, at, event: Event::parse(name).ok()?, data: data.into() }))
    });
    Some(Announcement { topic: TopicName::stored(topic), epoch, messages: messages.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_reads_back() {
        let read = parse("scores:w", "e1 7 5000\nupdate {\"user\":\"a b\"}\ntop []".as_bytes()).expect("readable");
        assert_eq!((read.topic.as_str(), read.epoch.as_str()), ("scores:w", "e1"));
        let messages: Vec<_> = read.messages.iter().map(|m| (m.offset, m.at.0, m.event.name(), &*m.data)).collect();
        assert_eq!(messages, [(7, 5000, "update", "{\"user\":\"a b\"}"), (8, 5000, "top", "[]")]);
        assert!(parse("scores", b"e1 1 5000").is_some_and(|look| look.messages.is_empty()));
    }

    #[test]
    fn what_is_no_announcement_is_not_read() {
        for bad in ["", "e1", "e1 x 1", "e1 1 1\nNOISE {}", "e1 1 1\nupdate", "e 1:1 1 1"] {
            assert!(parse("scores", bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
