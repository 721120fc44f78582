//! The JSON messages of streams that carry several topics: what a WebSocket receives, and the data of `/topics/stream`.

use bytes::Bytes;
use scorewire_core::domain::{Position, TopicName};
use serde::Serialize;

/// What a server says besides messages of topics.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Told<'a> {
    /// A topic is followed from here on.
    Subscribed { topic: &'a str, id: String, recovered: bool },
    /// A topic is not followed any more.
    Unsubscribed { topic: &'a str },
    /// A place is lost: what follows begins anew.
    Reset { topic: &'a str, id: String, reason: String },
    /// An answer to `ping`.
    Pong,
    /// Nothing happened for a while, and the connection is alive.
    Heartbeat,
    /// Something sent can not be done.
    Error {
        code: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<&'a str>,
    },
}

impl Told<'_> {
    /// One line of JSON.
    pub(super) fn json(&self) -> Bytes {
        // Plain structs of strings always serialise.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// A message of a topic. The data is JSON already; names and positions need no escapes.
pub(super) fn message(topic: &TopicName, id: Option<&Position>, event: &str, data: &str) -> Bytes {
    match id {
        Some(id) => {
            format!(r#"{{"type":"message","topic":"{topic}","id":"{id}","event":"{event}","data":{data}}}"#).into()
        }
        None => format!(r#"{{"type":"message","topic":"{topic}","event":"{event}","data":{data}}}"#).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_one_object_with_its_type() {
        let subscribed = Told::Subscribed { topic: "scores", id: "e:7".into(), recovered: true };
        assert_eq!(subscribed.json(), r#"{"type":"subscribed","topic":"scores","id":"e:7","recovered":true}"#);
        assert_eq!(Told::Pong.json(), r#"{"type":"pong"}"#);
        let error = Told::Error { code: "invalid-message", message: "a \"quote\"".into(), topic: None };
        assert_eq!(error.json(), r#"{"type":"error","code":"invalid-message","message":"a \"quote\""}"#);
    }
}
