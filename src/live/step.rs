//! What a viewer is sent next, whatever carries it.

use std::sync::Arc;

use scorewire_core::domain::{Position, TopicName};

use super::close::Close;
use super::frame::Frame;

/// How a topic begins for a viewer.
#[derive(Debug)]
pub(crate) struct Began {
    pub(crate) position: Position,
    /// Everything after the place it named follows.
    pub(crate) recovered: bool,
    /// Why the place it named could not be honoured.
    pub(crate) reset: Option<String>,
    /// The state at `position`, where the topic has one and the viewer has no place.
    pub(crate) snapshot: Option<Arc<str>>,
}

/// The next thing to send.
#[derive(Debug)]
pub(crate) enum Step {
    /// A topic begins.
    Began { topic: TopicName, began: Began },
    /// Messages of one topic, in order. Conflated: the viewer's view is the topic's state only after the last one, so
    /// only that has a place.
    Batch { frames: Vec<Arc<Frame>>, conflated: bool },
    /// The latest message of a feed once more, on its beat.
    Repeat(Arc<Frame>),
    /// Nothing happened for a while.
    Heartbeat,
    /// The stream is over.
    End(Close),
}
