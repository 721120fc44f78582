//! What a topic carries.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::Micros;
use super::feed::sent;

/// The kind of a message, as viewers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// One user's new absolute score.
    Update,
    /// The whole top of a board, whenever it changed.
    Top,
    /// The newest value of a feed. Its data is given as the value alone, and the topic makes
    /// `{"timestamp":<its own second>,"data":<value>}` of it.
    Value,
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
            "value" => Ok(Self::Value),
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
            Self::Value => "value",
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

impl NewMessage {
    /// The message as its topic takes it, at this place and time. A feed's value is told with the second of that time:
    /// what viewers read in it and what a replay by time looks for are the same.
    #[must_use]
    pub fn taken(self, offset: u64, at: Micros) -> Message {
        let data = if self.event == Event::Value { sent(at.unix_seconds(), &self.data).into() } else { self.data };
        Message { offset, at, event: self.event, data }
    }
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
    /// The value of the feed.
    Value,
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
            Event::Value => Key::Value,
            Event::Named(_) => Key::Alone(self.offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_name() {
        for name in ["update", "top", "value", "goal", "yellow-card"] {
            assert_eq!(Event::parse(name).map(|event| event.name().to_owned()), Ok(name.to_owned()));
        }
        for bad in ["", "two words", "Goal", "a\nb", &"x".repeat(33)] {
            assert_eq!(Event::parse(bad), Err(EventError), "{bad:?}");
        }
    }

    #[test]
    fn a_feeds_value_is_told_with_the_second_in_which_its_topic_took_it() {
        let taken =
            |event| NewMessage { event, data: "{\"price\":1.50}".into() }.taken(7, Micros(1_683_240_226_999_999));
        assert_eq!(&*taken(Event::Value).data, r#"{"timestamp":1683240226,"data":{"price":1.50}}"#);
        assert_eq!(&*taken(Event::Top).data, r#"{"price":1.50}"#);
        assert_eq!((taken(Event::Value).offset, taken(Event::Value).at), (7, Micros(1_683_240_226_999_999)));
    }

    #[test]
    fn only_a_value_of_the_same_thing_replaces_a_message() {
        let key = |event, data: &str| Message { offset: 7, at: Micros(0), event, data: data.into() }.key();
        assert_eq!(key(Event::Update, r#"{"user":"a","score":3,"userId":5}"#), Key::User(5));
        assert_eq!(key(Event::Update, r#"{"score":3}"#), Key::Alone(7));
        assert_eq!(key(Event::Top, "[]"), Key::Top);
        assert_eq!(key(Event::Value, r#"{"timestamp":1,"data":2}"#), Key::Value);
        assert_eq!(key(Event::parse("goal").expect("a name"), "{}"), Key::Alone(7));
    }
}
