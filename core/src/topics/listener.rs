//! Hears what all processes announce, over one connection of its own that is watched and repaired.
//!
//! A dead connection can look healthy for minutes, and what was published meanwhile is gone. So the connection is
//! probed; and after every repair, or when a topic was silent for long but moved on, listeners are told to look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{PubSub, PubSubSink, PubSubStream};
use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout};

use super::redis::{event, position};
use crate::domain::{Epoch, Message, Micros, Position, RingLimits, TopicName};
use crate::ports::{Announcement, FailureKind, PortError};
use crate::redis::{RedisHandle, port_error};

/// Announcements a slow listener may lag behind before it has to read the topic instead.
const ANNOUNCEMENTS: usize = 1_024;
const SUBSCRIBE: &str = "subscribe to announcements";
const LISTEN: &str = "listen to announcements";

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

/// The connection ended, or nothing answered on it.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("the connection ended")]
    Ended,
    #[error("a probe was not answered")]
    Unanswered,
}

/// What was last heard of a topic that somebody follows.
struct Heard {
    position: Position,
    at: Instant,
}

/// Turns what is published into announcements of this process.
pub(super) struct Listener {
    handle: RedisHandle,
    limits: RingLimits,
    timings: Timings,
    channels: String,
    sender: broadcast::Sender<Announcement>,
    heard: Mutex<HashMap<TopicName, Heard>>,
}

impl Listener {
    pub(super) fn new(handle: RedisHandle, limits: RingLimits, timings: Timings) -> Self {
        let channels = handle.channels();
        Self { handle, limits, timings, channels, sender: broadcast::channel(ANNOUNCEMENTS).0, heard: Mutex::default() }
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

    /// A connection that receives all our channels.
    pub(super) async fn subscribe(&self) -> Result<PubSub, PortError> {
        let mut connection = self.handle.subscriber().await?;
        timeout(self.timings.answer, connection.psubscribe(format!("{}*", self.channels)))
            .await
            .map_err(|_| silence(SUBSCRIBE, Silence::Unanswered))?
            .map_err(|e| port_error(SUBSCRIBE, e))?;
        Ok(connection)
    }

    /// Listens for ever: connects again, after a pause, whenever the connection is lost.
    pub(super) async fn listen(self: Arc<Self>, first: PubSub) {
        let mut next = Some(first);
        let mut pause = Duration::ZERO;
        let mut repaired = false;
        loop {
            let connection = match next.take() {
                Some(connection) => Ok(connection),
                None => self.subscribe().await,
            };
            let error = match connection {
                Ok(connection) => {
                    let since = Instant::now();
                    let error = self.receive(connection, std::mem::replace(&mut repaired, true)).await;
                    // One that is lost at once, time and again, is as good as none.
                    if since.elapsed() > self.timings.back_off {
                        pause = Duration::ZERO;
                    }
                    error
                }
                Err(error) => error,
            };
            pause = (pause * 2).clamp(Duration::from_millis(50), self.timings.back_off);
            tracing::warn!(%error, pause_ms = pause.as_millis(), "announcements are interrupted");
            // Spread at random, so that many processes do not come back in step.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    /// Receives until the connection is lost; says how.
    async fn receive(&self, connection: PubSub, repaired: bool) -> PortError {
        let (sink, stream) = connection.split();
        tokio::select! {
            error = self.deliver(stream) => error,
            error = self.probe(sink) => error,
            error = self.compare(repaired) => error,
        }
    }

    async fn deliver(&self, mut stream: PubSubStream) -> PortError {
        while let Some(published) = stream.next().await {
            let name = published.get_channel_name().strip_prefix(&self.channels);
            let Some(announcement) = name.and_then(|name| parse(name, published.get_payload_bytes())) else {
                tracing::warn!(channel = published.get_channel_name(), "an announcement can not be read");
                continue;
            };
            let offset = announcement.messages.last().map(|newest| newest.offset);
            self.tell(announcement, offset);
        }
        silence(LISTEN, Silence::Ended)
    }

    async fn probe(&self, mut sink: PubSubSink) -> PortError {
        loop {
            sleep(self.timings.probe).await;
            match timeout(self.timings.answer, sink.ping::<::redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return port_error(LISTEN, error),
                Err(_) => return silence(LISTEN, Silence::Unanswered),
            }
        }
    }

    /// Tells listeners to look: at every followed topic after a repair, later at those that moved on unheard.
    async fn compare(&self, repaired: bool) -> PortError {
        let mut everything = repaired;
        loop {
            for (topic, known) in self.followed(everything) {
                let now = match position(&self.handle, self.limits, &topic).await {
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

fn silence(operation: &'static str, how: Silence) -> PortError {
    PortError::new(operation, FailureKind::Unavailable, how)
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
        Some(Arc::new(Message { offset, at, event: event(name)?, data: data.into() }))
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
        for bad in ["", "e1", "e1 x 1", "e1 1 1\nnoise {}", "e1 1 1\nupdate", "e 1:1 1 1"] {
            assert!(parse("scores", bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
