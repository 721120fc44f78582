//! The adapters under test, and what their rules share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scorewire_core::domain::{
    BoardId, Event, Message, Micros, NamedStanding, NewMessage, Position, RingLimits, Standing, TopicName, UserId,
    UserName,
};
use scorewire_core::ports::{Announcement, Rankings, Rebuild, SystemClock, Topics};
use scorewire_core::rankings::{MemoryRankings, RedisRankings};
use scorewire_core::redis::RedisHandle;
use scorewire_core::topics::{MemoryTopics, RedisTopics, Timings};
use tokio::sync::broadcast;

use crate::redis_server::{DEADLINE, PrivateRedis};

/// Enough for every test that is not about limits.
pub(crate) const PLENTY: RingLimits = RingLimits { messages: 100_000, age_us: 3_600_000_000 };
pub(crate) const TOP_ROWS: usize = 5;

/// A pair of adapters with one board that is ready for use.
pub(crate) struct Adapters {
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) rankings: Arc<dyn Rankings>,
    pub(crate) board: BoardId,
    pub(crate) topic: TopicName,
    /// Ended last.
    _server: Option<Arc<PrivateRedis>>,
}

/// Where the adapters keep their things.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Memory,
    Redis,
}

impl Kind {
    pub(crate) async fn open(self, limits: RingLimits) -> Adapters {
        let board = BoardId::new("weekly");
        let topic = TopicName::of_board(&board);
        match self {
            Self::Memory => {
                let topics = Arc::new(MemoryTopics::new(limits, Arc::new(SystemClock)));
                let rankings = Arc::new(MemoryRankings::new(Arc::clone(&topics), TOP_ROWS));
                Adapters { topics, rankings, board, topic, _server: None }
            }
            Self::Redis => {
                let server = PrivateRedis::shared();
                let (topics, rankings) = process(&server.url(), &fresh_prefix(), limits).await;
                build(&rankings, &board, &[]).await;
                Adapters { topics, rankings, board, topic, _server: Some(server) }
            }
        }
    }
}

/// No two tests meet in one server.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}:", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What one process of a deployment has.
pub(crate) async fn process(url: &str, prefix: &str, limits: RingLimits) -> (Arc<RedisTopics>, Arc<RedisRankings>) {
    // Much closer than in earnest, so that tests are short.
    let timings = Timings {
        probe: Duration::from_millis(50),
        answer: Duration::from_secs(2),
        idle: Duration::from_millis(200),
        back_off: Duration::from_millis(100),
    };
    let handle = RedisHandle::connect(url, prefix).await.expect("Redis is there");
    let topics = Arc::new(RedisTopics::start_with(handle, limits, timings).await.expect("Redis is there"));
    let rankings = Arc::new(RedisRankings::new(Arc::clone(&topics), TOP_ROWS));
    (topics, rankings)
}

pub(crate) async fn build(rankings: &RedisRankings, board: &BoardId, standings: &[NamedStanding]) {
    let building = rankings.begin(board).await.expect("begun");
    rankings.restore(board, standings).await.expect("restored");
    rankings.finish(building).await.expect("finished");
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::parse(id).expect("valid")
}

/// A user named after its id.
pub(crate) fn standing(id: i64, score: i64, version: i64, reached_at: i64) -> NamedStanding {
    let board = BoardId::new("weekly");
    NamedStanding {
        standing: Standing { board, user: user(id), score, version, reached_at: Micros(reached_at) },
        name: UserName::stored(format!("user {id}")),
    }
}

pub(crate) fn note(text: &str) -> NewMessage {
    NewMessage { event: Event::Update, data: text.into() }
}

pub(crate) fn at(position: &Position, offset: u64) -> Position {
    Position { offset, ..position.clone() }
}

pub(crate) fn offsets(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.offset).collect()
}

/// Event and data of messages.
pub(crate) fn said(messages: &[Arc<Message>]) -> Vec<(&str, String)> {
    messages.iter().map(|message| (message.event.name(), message.data.to_string())).collect()
}

impl Adapters {
    /// The whole topic of this life.
    pub(crate) async fn log(&self) -> Vec<Arc<Message>> {
        let position = self.topics.position(&self.topic).await.expect("available");
        self.topics.after(&self.topic, &at(&position, 0), usize::MAX).await.expect("available").expect("kept")
    }
}

/// Announcements until the topic is told to have reached an offset, without those that say "look again".
pub(crate) async fn hear(heard: &mut broadcast::Receiver<Announcement>, until: u64) -> Vec<Arc<Message>> {
    let mut messages: Vec<Arc<Message>> = Vec::new();
    while messages.last().is_none_or(|newest| newest.offset < until) {
        let next = tokio::time::timeout(DEADLINE, heard.recv()).await.expect("announced in time").expect("not lagging");
        messages.extend(next.messages.iter().cloned());
    }
    messages
}

/// Waits until listeners are told to look again at a topic; says which life it has.
pub(crate) async fn told_to_look(heard: &mut broadcast::Receiver<Announcement>, topic: &TopicName) -> String {
    let looking = async {
        loop {
            let announcement = heard.recv().await.expect("not lagging");
            if announcement.messages.is_empty() && announcement.topic == *topic {
                return announcement.epoch.as_str().to_owned();
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("told in time")
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let polling = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(DEADLINE, polling).await.unwrap_or_else(|_| unreachable!("in time: {what}"))
}

/// One test per rule and adapter.
macro_rules! for_both {
    ($($rule:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(crate::adapters::Kind::Memory).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(crate::adapters::Kind::Redis).await;
            })+
        }
    };
}
pub(crate) use for_both;
