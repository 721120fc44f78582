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
use super::rhythm::{Pace, Rhythm};
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
    /// On a feed's own stream its pace, which takes the place of `every`.
    pub(crate) pace: Option<Pace>,
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
    /// On a feed's own stream.
    rhythm: Option<Rhythm>,
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
            rhythm: follow.pace.map(|pace| Rhythm::new(pace, Instant::now())),
            due: None,
            progress: Arc::new(Progress {
                tail,
                offset: AtomicU64::new(0),
                live: AtomicBool::new(false),
                lenient: conflate || follow.every.is_some() || matches!(follow.pace, Some(Pace::Beats { .. })),
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

    /// Until when it does not look, although its topic may have moved on. Past when it may look already.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        let only_beats = || self.rhythm.as_ref().filter(|rhythm| rhythm.only_beats() && self.is_live());
        self.due.filter(|due| *due > now).or_else(|| only_beats()?.next())
    }

    /// When it should look again, whether or not its topic moves on.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        self.rests_until(now).or_else(|| self.rhythm.as_ref()?.next())
    }

    /// It has caught up with the topic once.
    fn is_live(&self) -> bool {
        self.progress.live.load(Ordering::Relaxed)
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
        let now = Instant::now();
        let beats = self.rhythm.as_ref().is_some_and(|rhythm| rhythm.is_due(now));
        if self.is_live() && self.rhythm.as_ref().is_some_and(Rhythm::only_beats) {
            return if beats { Box::pin(self.beat(hub, position)).await } else { Ok(None) };
        }
        let behind = self.progress.tail.behind(position.offset).messages;
        // What a viewer of a feed missed is replayed whole.
        let may_conflate = self.conflate && (self.rhythm.is_none() || self.is_live());
        let conflated = may_conflate && (self.every.is_some() || behind > hub.conflate_behind);
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
            return if beats { Box::pin(self.beat(hub, position)).await } else { Ok(None) };
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
            if let Some(rhythm) = &mut self.rhythm {
                rhythm.keep(Some(Arc::clone(last)));
                rhythm.pass(now);
            }
        }
        self.due = self.every.map(|every| Instant::now() + every);
        Ok(Some(Step::Batch { frames, conflated }))
    }

    /// What a beat of a feed brings: its latest message, new or once more.
    async fn beat(&mut self, hub: &Hub, position: Position) -> Result<Option<Step>, Arc<PortError>> {
        let tail = Arc::clone(&self.progress.tail);
        let known = self.rhythm.as_ref().and_then(Rhythm::kept).filter(|_| tail.newest().as_ref() == Some(&position));
        let (place, latest) = match known {
            Some(latest) => (position.clone(), latest),
            None => hub.latest(&tail).await?,
        };
        let Some(rhythm) = &mut self.rhythm else { return Ok(None) };
        rhythm.pass(Instant::now());
        if place == position {
            rhythm.keep(latest.clone());
            return Ok(latest.filter(|_| rhythm.repeats()).map(Step::Repeat));
        }
        if !rhythm.only_beats() {
            // The topic moved on just now, which the next look finds.
            return Ok(None);
        }
        if place.epoch != position.epoch {
            return self.lose(hub, Lost::EpochChanged.to_string()).await.map(Some);
        }
        match latest.filter(|frame| frame.offset() > position.offset) {
            Some(frame) => {
                rhythm.keep(Some(Arc::clone(&frame)));
                self.stand(frame.position());
                Ok(Some(Step::Batch { frames: vec![frame], conflated: true }))
            }
            None if place.offset > position.offset => self.lose(hub, Lost::TooOld.to_string()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds the first place.
    async fn begin(&mut self, hub: &Hub) -> Result<Step, Arc<PortError>> {
        let mut seen_all = false;
        let named = match self.cursor.clone() {
            Cursor::Now => return self.begin_now(hub, None).await,
            Cursor::After(position) => match self.progress.tail.after(&position, 1) {
                Newer::Unknown => hub.topics.after(&self.topic, &position, 1).await?.map(|messages| {
                    seen_all = messages.is_empty();
                    position
                }),
                Newer::Frames(_) => Ok(position),
                Newer::Nothing => {
                    seen_all = true;
                    Ok(position)
                }
            },
            Cursor::Since(second) => {
                let Since { position, whole } = hub.topics.since(&self.topic, second).await?;
                // A feed's own stream replays what there is.
                if whole || self.rhythm.is_some() { Ok(position) } else { Err(Lost::TooOld) }
            }
            Cursor::Garbled => return self.lose(hub, "unknown-cursor".to_owned()).await,
        };
        let position = match named {
            Ok(position) => position,
            Err(lost) => return self.lose(hub, lost.to_string()).await,
        };
        // Who comes back to a feed and missed nothing is sent the latest all the same: something comes on every connect.
        if seen_all && self.rhythm.is_some() {
            let (place, snapshot) = self.now(hub).await?;
            if place == position {
                self.stand(position.clone());
                return Ok(self.began(Began { position, recovered: true, reset: None, snapshot }));
            }
        }
        self.stand(position.clone());
        Ok(self.began(Began { position, recovered: true, reset: None, snapshot: None }))
    }

    /// Says that the viewer's place is lost, and begins anew.
    async fn lose(&mut self, hub: &Hub, reason: String) -> Result<Step, Arc<PortError>> {
        self.begin_now(hub, Some(reason)).await
    }

    async fn begin_now(&mut self, hub: &Hub, reset: Option<String>) -> Result<Step, Arc<PortError>> {
        let (position, snapshot) = self.now(hub).await?;
        self.stand(position.clone());
        if self.rhythm.is_some() {
            // There is nothing to replay.
            self.progress.live.store(true, Ordering::Relaxed);
        }
        Ok(self.began(Began { position, recovered: false, reset, snapshot }))
    }

    /// Where the topic is, and its state there: of a feed its latest message.
    async fn now(&mut self, hub: &Hub) -> Result<(Position, Option<Arc<str>>), Arc<PortError>> {
        if self.topic.feed().is_none() {
            return hub.state(&self.topic).await;
        }
        let (position, latest) = hub.latest(&self.progress.tail).await?;
        let snapshot = latest.as_ref().map(|frame| Arc::clone(&frame.message.data));
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.keep(latest);
            rhythm.pass(Instant::now());
        }
        Ok((position, snapshot))
    }

    fn began(&self, began: Began) -> Step {
        Step::Began { topic: self.topic.clone(), began }
    }

    fn stand(&mut self, position: Position) {
        self.progress.offset.store(position.offset, Ordering::Relaxed);
        self.position = Some(position);
    }
}
