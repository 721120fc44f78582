//! What clients ask for over a WebSocket.

use std::time::Duration;

use scorewire_core::domain::{Position, TopicError, TopicName};
use serde::Deserialize;

use super::subscription::{Cursor, Follow};

/// The quickest beat a viewer may ask for.
const QUICKEST: Duration = Duration::from_millis(20);
/// The slowest.
const SLOWEST: Duration = Duration::from_secs(3_600);

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Sent {
    Subscribe {
        topic: String,
        since: Option<i64>,
        last_event_id: Option<String>,
        every: Option<String>,
        conflate: Option<bool>,
    },
    Unsubscribe {
        topic: String,
    },
    Ping {},
}

/// A request that can be granted as far as its form goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(Follow),
    Unsubscribe(TopicName),
    Ping,
}

/// Why a request can not be granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) topic: Option<String>,
}

impl Request {
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let invalid = |message: String, topic| Refused { code: "invalid-message", message, topic };
        let sent: Sent = serde_json::from_str(text).map_err(|error| {
            let message = format!("{error}: send an object of type subscribe, unsubscribe or ping");
            invalid(message, None)
        })?;
        let topic = |name: String| {
            TopicName::parse(&name).map_err(|error| Refused {
                code: match error {
                    TopicError::Malformed => "invalid-message",
                    TopicError::Unknown => "unknown-topic",
                },
                message: error.to_string(),
                topic: Some(name),
            })
        };
        match sent {
            Sent::Ping {} => Ok(Self::Ping),
            Sent::Unsubscribe { topic: name } => topic(name).map(Self::Unsubscribe),
            Sent::Subscribe { topic: name, since, last_event_id, every, conflate } => {
                let topic = topic(name)?;
                let every = every.as_deref().map(parse_every).transpose();
                let every = every.map_err(|message| invalid(message, Some(topic.to_string())))?;
                let cursor = Cursor::named(last_event_id.as_deref(), since);
                Ok(Self::Subscribe(Follow { topic, cursor, every, conflate: conflate.unwrap_or(true), pace: None }))
            }
        }
    }
}

impl Cursor {
    /// The place that a client names; a message's id wins over a time.
    pub(crate) fn named(id: Option<&str>, since: Option<i64>) -> Self {
        match (id, since) {
            (Some(id), _) => id.parse::<Position>().map_or(Self::Garbled, Self::After),
            (None, Some(second)) => Self::Since(second),
            (None, None) => Self::Now,
        }
    }
}

/// A viewer's own beat.
pub(crate) fn parse_every(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|every| (QUICKEST..=SLOWEST).contains(every))
        .ok_or_else(|| "every: write a time from 20ms to 1h, like 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        Request::parse(text).expect_err("a refusal").code
    }

    #[test]
    fn requests_are_read() {
        let plain = r#"{"type":"subscribe","topic":"scores"}"#;
        let topic = TopicName::parse("scores").expect("known");
        let follow = Follow { topic: topic.clone(), cursor: Cursor::Now, every: None, conflate: true, pace: None };
        assert_eq!(Request::parse(plain), Ok(Request::Subscribe(follow.clone())));
        let full =
            r#"{"type":"subscribe","topic":"scores","since":5,"last_event_id":"e:7","every":"500ms","conflate":false}"#;
        let cursor = Cursor::After("e:7".parse().expect("valid"));
        let every = Some(Duration::from_millis(500));
        assert_eq!(Request::parse(full), Ok(Request::Subscribe(Follow { cursor, every, conflate: false, ..follow })));
        assert_eq!(Request::parse(r#"{"type":"unsubscribe","topic":"scores"}"#), Ok(Request::Unsubscribe(topic)));
        assert_eq!(Request::parse(r#"{"type":"ping"}"#), Ok(Request::Ping));
    }

    #[test]
    fn what_can_not_be_granted_is_refused_by_a_code() {
        for bad in ["", "[]", "{}", r#"{"type":"dance"}"#, r#"{"type":"subscribe"}"#, r#"{"type":"ping","x":1}"#] {
            assert_eq!(code(bad), "invalid-message", "{bad}");
        }
        assert_eq!(code(r#"{"type":"subscribe","topic":"scores","speed":9}"#), "invalid-message");
        assert_eq!(code(r#"{"type":"subscribe","topic":"scores","every":"0s"}"#), "invalid-message");
        assert_eq!(code(r#"{"type":"subscribe","topic":"a b"}"#), "invalid-message");
        assert_eq!(code(r#"{"type":"subscribe","topic":"weather"}"#), "unknown-topic");
    }
}
