//! What a topic carries.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::Micros;

/// The kind of a message, as viewers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// One user's new absolute score.
    Update,
    /// The whole top of a board, whenever it changed.
    Top,
    /// Any other, by its name.
    Named(Arc<str>),
}

/// The text is no name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event's name is 1 to 32 of a-z, 0-9, - and _")]
pub struct EventError;

impl Event {
    /// The event of this name.
    ///
    /// # Errors
    /// [`EventError`] for a text that is no name.
    pub fn parse(name: &str) -> Result<Self, EventError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        match name {
            "update" => Ok(Self::Update),
            "top" => Ok(Self::Top),
            _ if (1..=32).contains(&name.len()) && name.bytes().all(plain) => Ok(Self::Named(name.into())),
            _ => Err(EventError),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Update => "update",
            Self::Top => "top",
            Self::Named(name) => name,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// What a message of a state topic is a value of: a later message with the same key makes it superfluous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The score of a user.
    User(i64),
    /// The top of the board.
    Top,
    /// Nothing that another message could replace.
    Alone(u64),
}

impl Message {
    /// What it is a value of.
    #[must_use]
    pub fn key(&self) -> Key {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OfUser {
            user_id: i64,
        }
        match self.event {
            Event::Update => serde_json::from_str(&self.data)
                .map_or(Key::Alone(self.offset), |OfUser { user_id }| Key::User(user_id)),
            Event::Top => Key::Top,
            Event::Named(_) => Key::Alone(self.offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_name() {
        for name in ["update", "top", "goal", "yellow-card"] {
            assert_eq!(Event::parse(name).map(|event| event.name().to_owned()), Ok(name.to_owned()));
        }
        for bad in ["", "two words", "Goal", "a\nb", &"x".repeat(33)] {
            assert_eq!(Event::parse(bad), Err(EventError), "{bad:?}");
        }
    }

    #[test]
    fn only_a_value_of_the_same_thing_replaces_a_message() {
        let key = |event, data: &str| Message { offset: 7, at: Micros(0), event, data: data.into() }.key();
        assert_eq!(key(Event::Update, r#"{"user":"a","score":3,"userId":5}"#), Key::User(5));
        assert_eq!(key(Event::Update, r#"{"score":3}"#), Key::Alone(7));
        assert_eq!(key(Event::Top, "[]"), Key::Top);
        assert_eq!(key(Event::parse("goal").expect("a name"), "{}"), Key::Alone(7));
    }
}
