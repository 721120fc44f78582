//! What a topic carries.

use std::sync::Arc;

use super::Micros;

/// The kind of a message, as viewers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// One user's new absolute score.
    Update,
    /// The whole top of a board, whenever it changed.
    Top,
}

impl Event {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Top => "top",
        }
    }
}

/// A message before its topic has given it an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its kind.
    pub event: Event,
    /// One line of JSON.
    pub data: Arc<str>,
}

/// A message in its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place: offsets of one epoch have no holes.
    pub offset: u64,
    /// When the topic took it; never earlier than the message before it.
    pub at: Micros,
    /// Its kind.
    pub event: Event,
    /// One line of JSON.
    pub data: Arc<str>,
}
