//! One viewer: a place in a topic that moves forward as fast as its connection takes messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use scorewire_core::domain::{BoardId, Position, TopicName};
use scorewire_core::ports::PortError;
use tokio::sync::watch;

use super::hub::{Cursor, Hub};
use super::sse;
use super::tail::{Frame, Newer, Tail};

/// Messages joined into one write at most.
const JOINED: usize = 256;
/// How long to wait before asking an unavailable topic again.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);
/// Viewers of a stopping server come back within this many milliseconds, spread at random.
const COME_BACK_MS: std::ops::Range<u64> = 500..2_500;

/// A connected viewer of one board.
pub(crate) struct Viewer {
    hub: Arc<Hub>,
    board: BoardId,
    topic: TopicName,
    tail: Arc<Tail>,
    changes: watch::Receiver<()>,
    /// `None` until the first snapshot.
    position: Option<Position>,
    cursor: Cursor,
    /// Encoded and not yet taken by the connection.
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Viewer {
    pub(super) fn new(hub: Arc<Hub>, board: BoardId, topic: TopicName, tail: &Arc<Tail>, cursor: Cursor) -> Self {
        hub.metrics.viewers.inc();
        Self {
            hub,
            board,
            topic,
            tail: Arc::clone(tail),
            changes: tail.changes(),
            position: None,
            cursor,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next bytes for the connection; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance().await {
                tracing::warn!(topic = %self.topic, %error, "a viewer waits for its topic");
                tokio::time::sleep(UNAVAILABLE_WAIT).await;
                self.ready.push_back(Bytes::from_static(sse::HEARTBEAT));
            }
        }
    }

    /// Makes something ready, or waits until there may be something.
    async fn advance(&mut self) -> Result<(), Arc<PortError>> {
        if self.hub.closing.is_cancelled() {
            self.ready.push_back(sse::come_back(rand::random_range(COME_BACK_MS)));
            self.ended = true;
            return Ok(());
        }
        let Some(position) = self.position.clone() else { return self.begin().await };
        // Marked before looking: what comes after the look wakes the wait.
        self.changes.mark_unchanged();
        match self.tail.after(&position, JOINED) {
            Newer::Frames(frames) => {
                self.deliver(&frames);
                return Ok(());
            }
            Newer::Nothing => {}
            Newer::Unknown => match self.hub.topics.after(&self.topic, &position, JOINED).await? {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    let frames: Vec<_> = messages.iter().map(|m| sse::message(m, &position.epoch)).collect();
                    let offset = messages.last().map_or(position.offset, |last| last.offset);
                    self.hub.metrics.delivered.inc_by(frames.len() as u64);
                    self.position = Some(Position { offset, ..position });
                    self.ready.push_back(frames.concat().into());
                    return Ok(());
                }
                Err(lost) => return self.reset(lost).await,
            },
        }
        self.wait().await;
        Ok(())
    }

    /// Finds the first place.
    async fn begin(&mut self) -> Result<(), Arc<PortError>> {
        match self.cursor.clone() {
            Cursor::Now => self.snapshot().await,
            Cursor::After(position) => {
                self.position = Some(position);
                // Answers at once even when nothing is new, so that the client knows it is connected.
                self.ready.push_back(Bytes::from_static(sse::HEARTBEAT));
                Ok(())
            }
            Cursor::Since(second) => match self.hub.topics.since(&self.topic, second).await? {
                Ok(position) => {
                    self.position = Some(position);
                    self.ready.push_back(Bytes::from_static(sse::HEARTBEAT));
                    Ok(())
                }
                Err(lost) => self.reset(lost).await,
            },
            Cursor::Garbled => self.reset("unknown-cursor").await,
        }
    }

    async fn snapshot(&mut self) -> Result<(), Arc<PortError>> {
        let snapshot = self.hub.boards.snapshot(&self.board).await?.value;
        self.ready.push_back(sse::event("snapshot", &snapshot.position, &snapshot.top));
        self.position = Some(snapshot.position);
        Ok(())
    }

    /// Says that the viewer's place is lost, and begins anew with a snapshot.
    async fn reset(&mut self, reason: impl std::fmt::Display) -> Result<(), Arc<PortError>> {
        let snapshot = self.hub.boards.snapshot(&self.board).await?.value;
        self.hub.metrics.resets.inc();
        self.ready.push_back(sse::event("reset", &snapshot.position, &format!("{{\"reason\":\"{reason}\"}}")));
        self.ready.push_back(sse::event("snapshot", &snapshot.position, &snapshot.top));
        self.position = Some(snapshot.position);
        Ok(())
    }

    fn deliver(&mut self, frames: &[Arc<Frame>]) {
        let Some((last, position)) = frames.last().zip(self.position.as_mut()) else { return };
        position.offset = last.offset;
        let now = self.hub.clock.now();
        for frame in frames {
            #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 µs")]
            self.hub.metrics.publish_to_viewer.observe((now.0 - frame.at.0).max(0) as f64 / 1e6);
        }
        self.hub.metrics.delivered.inc_by(frames.len() as u64);
        tracing::debug!(topic = %self.topic, place = %position, "handed to a viewer");
        self.ready.push_back(match frames {
            [only] => only.bytes.clone(),
            many => {
                let mut joined = BytesMut::with_capacity(many.iter().map(|f| f.bytes.len()).sum());
                many.iter().for_each(|frame| joined.extend_from_slice(&frame.bytes));
                joined.freeze()
            }
        });
    }

    async fn wait(&mut self) {
        tokio::select! {
            // The hub outlives its viewers, so its tail does not close.
            _ = self.changes.changed() => {}
            () = tokio::time::sleep(self.hub.heartbeat) => self.ready.push_back(Bytes::from_static(sse::HEARTBEAT)),
            () = self.hub.closing.cancelled() => {}
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.hub.metrics.viewers.dec();
    }
}
