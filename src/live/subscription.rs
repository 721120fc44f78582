//! One topic as one viewer follows it: a place that moves forward as fast as its connection takes messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use scorewire_core::domain::{Lost, Position, Since, TopicKind, TopicName};
use scorewire_core::ports::PortError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::frame::{Frame, conflate};
use super::hub::Hub;
use super::step::{Began, Step};
use super::tail::{Newer, Tail};

/// Messages joined into one write at most.
const JOINED: usize = 256;
/// Bytes after which no further message joins the write.
const JOINED_BYTES: usize = 64 * 1_024;
/// Messages looked through at most for the newest values.
const CONFLATED: usize = 1_024;
/// How long to wait before asking an unavailable topic again.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);

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

/// A viewer's wish to follow a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Follow {
    pub(crate) topic: TopicName,
    pub(crate) cursor: Cursor,
    /// At most one batch in this time; `None` takes messages as they come.
    pub(crate) every: Option<Duration>,
    /// Values of a state topic that were replaced meanwhile may be skipped.
    pub(crate) conflate: bool,
}

/// How far a subscription has come, for those who watch viewers.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) tail: Arc<Tail>,
    pub(super) offset: AtomicU64,
    /// It has caught up with the topic once: from then on it should keep up.
    pub(super) live: AtomicBool,
    /// It may lag behind on purpose.
    pub(super) lenient: bool,
}

/// One topic of one viewer.
#[derive(Debug)]
pub(super) struct Subscription {
    topic: TopicName,
    changes: watch::Receiver<()>,
    cursor: Cursor,
    /// `None` until it began.
    position: Option<Position>,
    every: Option<Duration>,
    conflate: bool,
    /// Nothing is looked for before.
    due: Option<Instant>,
    progress: Arc<Progress>,
}

impl Subscription {
    pub(super) fn new(follow: Follow, tail: Arc<Tail>) -> Self {
        let conflate = follow.conflate && follow.topic.kind() == TopicKind::State;
        Self {
            topic: follow.topic,
            changes: tail.changes(),
            cursor: follow.cursor,
            position: None,
            every: follow.every,
            conflate,
            due: None,
            progress: Arc::new(Progress {
                tail,
                offset: AtomicU64::new(0),
                live: AtomicBool::new(false),
                lenient: conflate || follow.every.is_some(),
            }),
        }
    }

    pub(super) const fn topic(&self) -> &TopicName {
        &self.topic
    }

    pub(super) const fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    pub(super) const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// When it may look again, if it has to wait although its topic may have moved on.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns when the topic moved on since the last look.
    pub(super) async fn changed(&mut self) {
        // The viewer holds the tail, so it does not close.
        let _ = self.changes.changed().await;
    }

    /// Waits a while before it asks an unavailable topic again.
    pub(super) fn postpone(&mut self) {
        self.due = Some(Instant::now() + UNAVAILABLE_WAIT);
    }

    /// What there is for the viewer now. Nothing is lost when the returned future is dropped.
    pub(super) async fn advance(&mut self, hub: &Hub) -> Result<Option<Step>, Arc<PortError>> {
        if self.due.is_some_and(|due| due > Instant::now()) {
            return Ok(None);
        }
        // Marked before looking: what comes after the look wakes the wait.
        self.changes.mark_unchanged();
        // Apart, as all that is rare: every viewer carries the room of what it waits in most of the time.
        let Some(position) = self.position.clone() else { return Box::pin(self.begin(hub)).await.map(Some) };
        let behind = self.progress.tail.behind(position.offset).messages;
        let conflated = self.conflate && (self.every.is_some() || behind > hub.conflate_behind);
        let limit = if conflated { CONFLATED } else { JOINED };
        let mut frames = match self.progress.tail.after(&position, limit) {
            Newer::Frames(frames) => frames,
            Newer::Nothing => Vec::new(),
            Newer::Unknown => match hub.topics.after(&self.topic, &position, limit).await? {
                Ok(messages) => {
                    let epoch = Arc::new(position.epoch.clone());
                    let frame = |message| Arc::new(Frame::new(&self.topic, &epoch, message, 0));
                    messages.iter().map(frame).collect()
                }
                Err(lost) => return Box::pin(self.lose(hub, lost.to_string())).await.map(Some),
            },
        };
        if frames.is_empty() {
            self.progress.tail.stands_at(&position);
            self.progress.live.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        if conflated {
            conflate(&mut frames);
        } else {
            let mut bytes = 0;
            let fits = frames.iter().take_while(|frame| {
                let before = bytes;
                bytes += frame.message.data.len();
                before < JOINED_BYTES
            });
            let fits = fits.count();
            frames.truncate(fits);
        }
        if let Some(last) = frames.last() {
            self.stand(last.position());
        }
        self.due = self.every.map(|every| Instant::now() + every);
        Ok(Some(Step::Batch { frames, conflated }))
    }

    /// Finds the first place.
    async fn begin(&mut self, hub: &Hub) -> Result<Step, Arc<PortError>> {
        let named = match self.cursor.clone() {
            Cursor::Now => {
                let (position, snapshot) = hub.state(&self.topic).await?;
                self.stand(position.clone());
                return Ok(self.began(Began { position, recovered: false, reset: None, snapshot }));
            }
            Cursor::After(position) => match self.progress.tail.after(&position, 1) {
                Newer::Unknown => hub.topics.after(&self.topic, &position, 1).await?.map(|_| position),
                Newer::Frames(_) | Newer::Nothing => Ok(position),
            },
            Cursor::Since(second) => {
                let Since { position, whole } = hub.topics.since(&self.topic, second).await?;
                if whole { Ok(position) } else { Err(Lost::TooOld) }
            }
            Cursor::Garbled => return self.lose(hub, "unknown-cursor".to_owned()).await,
        };
        match named {
            Ok(position) => {
                self.stand(position.clone());
                Ok(self.began(Began { position, recovered: true, reset: None, snapshot: None }))
            }
            Err(lost) => self.lose(hub, Lost::to_string(&lost)).await,
        }
    }

    /// Says that the viewer's place is lost, and begins anew.
    async fn lose(&mut self, hub: &Hub, reason: String) -> Result<Step, Arc<PortError>> {
        let (position, snapshot) = hub.state(&self.topic).await?;
        self.stand(position.clone());
        Ok(self.began(Began { position, recovered: false, reset: Some(reason), snapshot }))
    }

    fn began(&self, began: Began) -> Step {
        Step::Began { topic: self.topic.clone(), began }
    }

    fn stand(&mut self, position: Position) {
        self.progress.offset.store(position.offset, Ordering::Relaxed);
        self.position = Some(position);
    }
}
