//! Topics in Redis: a stream per topic and one channel each, written by scripts, so that append and announce are
//! one step and every process hears the same order.
//!
//! The clock is Redis's own. Keys that nobody used for a while expire; a topic that lost its log, or whose server
//! was restarted, begins a new epoch by itself. One that survives goes on with its messages in the new epoch.

use std::sync::{Arc, LazyLock};

use ::redis::Script;
use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::listener::{Listener, Timings};
use super::random_epoch;
use crate::domain::{
    Epoch, Event, Keeping, Kept, Lost, Message, Micros, NewMessage, Position, SCORE_LIMIT, Since, TopicName,
};
use crate::ports::{Announcement, FailureKind, PortError, Topics};
use crate::redis::{RedisHandle, TopicKeys, corrupt};

/// A script that begins with the library of topics.
macro_rules! topic_script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("log.lua"), include_str!($file))))
    };
}

static APPEND: LazyLock<Script> = topic_script!("append.lua");
static AFTER: LazyLock<Script> = topic_script!("after.lua");
static SINCE: LazyLock<Script> = topic_script!("since.lua");

/// Keys outlive the last use by twice the age of messages and this much, so that an idle topic keeps its epoch.
const SPARE_LIFE_MS: i64 = 24 * 3_600 * 1_000;
/// No use of a topic is rarer.
const LONGEST_LIFE_MS: i64 = 3_650 * 24 * 3_600 * 1_000;

/// The data of a message is one line.
#[derive(Debug, thiserror::Error)]
#[error("a message has a line break in it")]
struct LineBreak;

/// Topics in Redis.
pub struct RedisTopics {
    handle: RedisHandle,
    keeping: Arc<Keeping>,
    listener: Arc<Listener>,
    /// `None` in a process that follows no topic.
    listening: Option<JoinHandle<()>>,
}

impl RedisTopics {
    /// Begins to listen to what all processes announce. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When Redis can not be reached; later losses of the connection are repaired in the background.
    pub async fn start(handle: RedisHandle, keeping: impl Into<Arc<Keeping>>) -> Result<Self, PortError> {
        Self::start_with(handle, keeping, Timings::default()).await
    }

    /// As [`start`](Self::start), with other timings of the listening connection.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        handle: RedisHandle,
        keeping: impl Into<Arc<Keeping>>,
        timings: Timings,
    ) -> Result<Self, PortError> {
        let keeping = keeping.into();
        let listener = Arc::new(Listener::new(handle.clone(), Arc::clone(&keeping), timings));
        // Connected before anybody asks, so that "from now on" is true from the first call.
        let subscription = listener.subscribe().await?;
        let listening = tokio::spawn(Arc::clone(&listener).listen(subscription));
        Ok(Self { handle, keeping, listener, listening: Some(listening) })
    }

    /// Topics of a process that only writes: it listens to nothing, and its announcements never come.
    #[must_use]
    pub fn unheard(handle: RedisHandle, keeping: impl Into<Arc<Keeping>>) -> Self {
        let keeping = keeping.into();
        let listener = Arc::new(Listener::new(handle.clone(), Arc::clone(&keeping), Timings::default()));
        Self { handle, keeping, listener, listening: None }
    }

    pub(crate) fn handle(&self) -> &RedisHandle {
        &self.handle
    }

    /// The arguments that every script of a topic begins with.
    pub(crate) fn arguments(&self, topic: &TopicName, keys: &TopicKeys) -> Vec<String> {
        arguments(keys, self.keeping.of(topic))
    }

    /// Notes that somebody follows the topic from this place.
    pub(crate) fn follows(&self, topic: &TopicName, position: &Position) {
        self.listener.follows(topic, position);
    }

    async fn run(
        &self,
        operation: &'static str,
        topic: &TopicName,
        script: &Script,
        more: impl IntoIterator<Item = String>,
    ) -> Result<(Position, Vec<String>), PortError> {
        let keys = self.handle.topic_keys(topic);
        let mut arguments = self.arguments(topic, &keys);
        arguments.extend(more);
        let reply = self.handle.run(operation, script, &[&keys.topic, &keys.log], &arguments).await?;
        let (position, rest) = split_position(operation, reply)?;
        self.follows(topic, &position);
        Ok((position, rest))
    }
}

impl Drop for RedisTopics {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

fn arguments(keys: &TopicKeys, Kept { limits, survives }: Kept) -> Vec<String> {
    // Numbers in scripts are exact up to 2^53.
    let messages = i64::try_from(limits.messages).unwrap_or(SCORE_LIMIT).min(SCORE_LIMIT);
    let age_us = limits.age_us.min(SCORE_LIMIT);
    let life_ms = (age_us / 1_000).saturating_mul(2).saturating_add(SPARE_LIFE_MS).min(LONGEST_LIFE_MS);
    let numbers = [messages, age_us, life_ms].map(|number| number.to_string());
    [random_epoch().as_str().to_owned()]
        .into_iter()
        .chain(numbers)
        .chain([keys.channel.clone(), u8::from(survives).to_string()])
        .collect()
}

/// The place after the newest message, by asking Redis.
pub(super) async fn position(
    handle: &RedisHandle,
    keeping: &Keeping,
    topic: &TopicName,
) -> Result<Position, PortError> {
    let operation = "read a topic's position";
    let keys = handle.topic_keys(topic);
    let reply = handle.run(operation, &APPEND, &[&keys.topic, &keys.log], &arguments(&keys, keeping.of(topic))).await?;
    Ok(split_position(operation, reply)?.0)
}

/// Takes epoch and offset off a reply.
pub(crate) fn split_position(
    operation: &'static str,
    mut reply: Vec<String>,
) -> Result<(Position, Vec<String>), PortError> {
    let rest = reply.split_off(reply.len().min(2));
    match &reply[..] {
        [epoch, offset] => {
            let epoch = Epoch::parse(epoch).map_err(|_| corrupt(operation, "epoch"))?;
            let offset = offset.parse().map_err(|_| corrupt(operation, "offset"))?;
            Ok((Position { epoch, offset }, rest))
        }
        _ => Err(corrupt(operation, "position")),
    }
}

fn message(fields: &[String]) -> Option<Arc<Message>> {
    let [offset, at, name, data] = fields else { return None };
    let (offset, at) = (offset.parse().ok()?, Micros(at.parse().ok()?));
    Some(Arc::new(Message { offset, at, event: Event::parse(name).ok()?, data: data.as_str().into() }))
}

#[async_trait]
impl Topics for RedisTopics {
    async fn append(&self, topic: &TopicName, messages: Vec<NewMessage>) -> Result<Position, PortError> {
        let operation = "append to a topic";
        if messages.iter().any(|message| message.data.contains('\n')) {
            return Err(PortError::new(operation, FailureKind::Rejected, LineBreak));
        }
        let fields = messages.iter().flat_map(|message| [message.event.name().to_owned(), message.data.to_string()]);
        Ok(self.run(operation, topic, &APPEND, fields).await?.0)
    }

    async fn after(
        &self,
        topic: &TopicName,
        position: &Position,
        limit: usize,
    ) -> Result<Result<Vec<Arc<Message>>, Lost>, PortError> {
        let operation = "read a topic";
        // Offsets beyond what a script can count lie ahead of every topic.
        let offset = position.offset.min(SCORE_LIMIT.unsigned_abs());
        let place = [position.epoch.as_str().to_owned(), offset.to_string(), limit.min(i32::MAX as usize).to_string()];
        let (_, reply) = self.run(operation, topic, &AFTER, place).await?;
        match reply.split_first().map(|(status, rows)| (status.as_str(), rows)) {
            Some(("kept", rows)) => {
                let messages: Option<Vec<_>> = rows.chunks(4).map(message).collect();
                Ok(Ok(messages.ok_or_else(|| corrupt(operation, "message"))?))
            }
            Some(("epoch-changed", _)) => Ok(Err(Lost::EpochChanged)),
            Some(("ahead", _)) => Ok(Err(Lost::Ahead)),
            Some(("too-old", _)) => Ok(Err(Lost::TooOld)),
            _ => Err(corrupt(operation, "answer")),
        }
    }

    async fn since(&self, topic: &TopicName, unix_seconds: i64) -> Result<Since, PortError> {
        let operation = "look for a second in a topic";
        let second = unix_seconds.clamp(-SCORE_LIMIT / 1_000_000, SCORE_LIMIT / 1_000_000);
        let (newest, reply) = self.run(operation, topic, &SINCE, [second.to_string()]).await?;
        match &reply[..] {
            [status, offset] => {
                let offset = offset.parse().map_err(|_| corrupt(operation, "offset"))?;
                Ok(Since { position: Position { offset, ..newest }, whole: status == "whole" })
            }
            _ => Err(corrupt(operation, "answer")),
        }
    }

    async fn position(&self, topic: &TopicName) -> Result<Position, PortError> {
        Ok(self.run("read a topic's position", topic, &APPEND, []).await?.0)
    }

    fn announcements(&self) -> broadcast::Receiver<Announcement> {
        self.listener.announcements()
    }

    fn forget(&self, topic: &TopicName) {
        self.listener.forget(topic);
    }
}
