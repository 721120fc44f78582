//! What a stream says, in one shape whether it carries one topic or several, and as lines for people.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::Event;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Envelope {
    Message {
        topic: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        event: String,
        data: Value,
    },
    Reset {
        topic: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        reason: String,
    },
    Error {
        code: String,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
    },
    /// The stream ends, and why.
    #[serde(skip)]
    Close(Close),
    /// Nothing that a reader waits for: `subscribed`, `heartbeat` and what later servers may add.
    #[serde(other)]
    Other,
}

/// A row of the close table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) reconnect: bool,
}

impl Envelope {
    /// Reads an event; `only` is the topic of a stream that carries one, whose events are not wrapped.
    pub(super) fn read(event: Event, only: Option<&str>) -> serde_json::Result<Self> {
        let Event { name, id, data } = event;
        if name == "close" || name == "reauthenticate" {
            return Ok(Self::Close(serde_json::from_str(&data)?));
        }
        let Some(topic) = only else { return serde_json::from_str(&data) };
        let (topic, data) = (topic.to_owned(), serde_json::from_str::<Value>(&data)?);
        Ok(match name.as_str() {
            "reset" => Self::Reset { topic, id, reason: data["reason"].as_str().unwrap_or("unknown").to_owned() },
            _ => Self::Message { topic, id, event: name, data },
        })
    }
}

/// A message as a line for people, without a line break.
pub(super) fn line(at: SystemTime, topic: &str, id: Option<&str>, event: &str, data: &Value) -> String {
    let offset = id.and_then(|id| id.rsplit_once(':')).map_or("", |(_, offset)| offset);
    let line = format!("{} {topic} {event} #{offset} {}", clock(at), summary(data));
    // Names come from strangers: nothing of theirs may steer the terminal.
    line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The time of day, UTC.
pub(super) fn clock(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", second / 3_600, second / 60 % 60, second % 60, since.subsec_millis())
}

/// Standings and score updates in words, anything else as JSON.
fn summary(data: &Value) -> String {
    standings(data).or_else(|| update(data)).unwrap_or_else(|| data.to_string())
}

fn standings(data: &Value) -> Option<String> {
    let mut text = String::new();
    for row in data.as_array()? {
        let (rank, user, score) = (row["rank"].as_u64()?, row["user"].as_str()?, row["score"].as_i64()?);
        let between = if text.is_empty() { "" } else { ", " };
        let _infallible = write!(text, "{between}{rank}. {user} {score}");
    }
    Some(if text.is_empty() { "nobody yet".to_owned() } else { text })
}

fn update(data: &Value) -> Option<String> {
    let (user, score) = (data["user"].as_str()?, data["score"].as_i64()?);
    let (rank, increment) = (data["rank"].as_u64()?, data["increment"].as_i64()?);
    Some(format!("{user} {increment:+} to {score}, rank {rank}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), id: Some("e:8".to_owned()), data: data.to_owned() }
    }

    #[test]
    fn one_topic_and_several_say_the_same() {
        let wrapped = r#"{"type":"message","topic":"scores","id":"e:8","event":"top","data":[]}"#;
        let message = Envelope::read(event("top", "[]"), Some("scores")).expect("an envelope");
        assert_eq!(Envelope::read(event("message", wrapped), None).expect("an envelope"), message);
        assert_eq!(serde_json::to_string(&message).expect("JSON"), wrapped);
        let reset = Envelope::read(event("reset", r#"{"reason":"too-old"}"#), Some("scores")).expect("an envelope");
        let wrapped = r#"{"type":"reset","topic":"scores","id":"e:8","reason":"too-old"}"#;
        assert_eq!(Envelope::read(event("message", wrapped), None).expect("an envelope"), reset);
    }

    #[test]
    fn what_a_later_server_adds_is_passed_over() {
        for data in
            [r#"{"type":"subscribed","topic":"a","id":"e:1","recovered":true}"#, r#"{"type":"weather","sun":1}"#]
        {
            assert_eq!(Envelope::read(event("message", data), None).expect("an envelope"), Envelope::Other);
        }
    }

    #[test]
    fn a_close_says_whether_to_come_back() {
        let data = r#"{"code":4000,"reason":"slow-viewer","reconnect":true}"#;
        let close = Close { code: 4_000, reason: "slow-viewer".to_owned(), reconnect: true };
        for only in [None, Some("scores")] {
            assert_eq!(Envelope::read(event("close", data), only).expect("one"), Envelope::Close(close.clone()));
        }
    }

    #[test]
    fn lines_are_for_people() {
        let at = UNIX_EPOCH + Duration::from_millis(86_400_000 + 43_201_234);
        let said = |event: &str, data: Value| line(at, "scores", Some("e:8"), event, &data);
        let rows = json!([{"rank":1,"user":"Zoë","score":30,"userId":1},{"rank":2,"user":"Bo","score":-2,"userId":2}]);
        assert_eq!(said("top", rows), "12:00:01.234 scores top #8 1. Zoë 30, 2. Bo -2");
        let update = json!({"user":"Bo","score":8,"userId":2,"rank":2,"increment":10});
        assert_eq!(said("update", update), "12:00:01.234 scores update #8 Bo +10 to 8, rank 2");
        assert_eq!(said("goal", json!({"minute":3})), "12:00:01.234 scores goal #8 {\"minute\":3}");
    }

    #[test]
    fn a_name_does_not_steer_the_terminal() {
        let rows = json!([{"rank":1,"user":"\u{1b}[2J\u{9b}31m","score":1}]);
        let said = line(UNIX_EPOCH, "scores", None, "top", &rows);
        assert!(!said.contains(char::is_control), "{said:?}");
    }
}
