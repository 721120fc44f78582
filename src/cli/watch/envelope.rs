//! What a stream says, in one shape whether it carries one topic or several, and as lines for people.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use super::events::Event;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Envelope {
    Message {
        topic: String,
        id: Option<String>,
        event: String,
        data: Value,
    },
    Reset {
        topic: String,
        id: Option<String>,
        reason: String,
    },
    Error {
        code: String,
        message: String,
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
    /// Reads an event; `only` is the topic of a stream that carries one, whose events are not wrapped. Also returns the
    /// server's JSON, which is the same for both kinds of stream.
    pub(super) fn read(event: Event, only: Option<&str>) -> serde_json::Result<(Self, String)> {
        if event.name == "close" || event.name == "reauthenticate" {
            return Ok((Self::Close(serde_json::from_str(&event.data)?), event.data));
        }
        let json = match only {
            Some(topic) => wrapped(topic, &event)?,
            None => event.data,
        };
        Ok((serde_json::from_str(&json)?, json))
    }
}

/// What a stream of several topics would say of an event.
fn wrapped(topic: &str, Event { name, id, data }: &Event) -> serde_json::Result<String> {
    let topic = serde_json::to_string(topic)?;
    let id = match id {
        Some(id) => format!(r#""id":{},"#, serde_json::to_string(id)?),
        None => String::new(),
    };
    if name == "reset" {
        let reason = serde_json::from_str::<Value>(data)?["reason"].take();
        return Ok(format!(r#"{{"type":"reset","topic":{topic},{id}"reason":{reason}}}"#));
    }
    let name = serde_json::to_string(name)?;
    Ok(format!(r#"{{"type":"message","topic":{topic},{id}"event":{name},"data":{data}}}"#))
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

/// Standings, score updates and values of feeds in words, anything else as JSON.
fn summary(data: &Value) -> String {
    standings(data).or_else(|| update(data)).or_else(|| value(data)).unwrap_or_else(|| data.to_string())
}

/// What a feed says, and of when that is.
fn value(data: &Value) -> Option<String> {
    let fields = data.as_object().filter(|fields| fields.len() == 2)?;
    let second = Duration::from_secs(fields.get("timestamp")?.as_u64()?);
    Some(format!("{} of {}", fields.get("data")?, &clock(UNIX_EPOCH.checked_add(second)?)[..8]))
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
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), id: Some("e:8".to_owned()), data: data.to_owned() }
    }

    #[test]
    fn one_topic_and_several_say_the_same() {
        for (name, data, wrapped) in [
            (
                "top",
                r#"[{"b":1,"a":2}]"#,
                r#"{"type":"message","topic":"a","id":"e:8","event":"top","data":[{"b":1,"a":2}]}"#,
            ),
            ("reset", r#"{"reason":"too-old"}"#, r#"{"type":"reset","topic":"a","id":"e:8","reason":"too-old"}"#),
        ] {
            let (envelope, json) = Envelope::read(event(name, data), Some("a")).expect("an envelope");
            assert_eq!(json, wrapped);
            assert_eq!(Envelope::read(event("message", wrapped), None).expect("an envelope"), (envelope, json));
        }
    }

    #[test]
    fn what_a_later_server_adds_is_passed_over() {
        for data in
            [r#"{"type":"subscribed","topic":"a","id":"e:1","recovered":true}"#, r#"{"type":"weather","sun":1}"#]
        {
            assert_eq!(Envelope::read(event("message", data), None).expect("an envelope").0, Envelope::Other);
        }
    }

    #[test]
    fn a_close_says_whether_to_come_back() {
        let data = r#"{"code":4000,"reason":"slow-viewer","reconnect":true}"#;
        let close = Close { code: 4_000, reason: "slow-viewer".to_owned(), reconnect: true };
        for only in [None, Some("scores")] {
            assert_eq!(Envelope::read(event("close", data), only).expect("one").0, Envelope::Close(close.clone()));
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
        let value = json!({"timestamp":1_683_240_226,"data":{"price":1.5}});
        assert_eq!(said("value", value), r#"12:00:01.234 scores value #8 {"price":1.5} of 22:43:46"#);
        assert_eq!(said("goal", json!({"data":1})), r#"12:00:01.234 scores goal #8 {"data":1}"#);
        assert_eq!(said("goal", json!({"minute":3})), "12:00:01.234 scores goal #8 {\"minute\":3}");
    }

    #[test]
    fn a_name_does_not_steer_the_terminal() {
        let rows = json!([{"rank":1,"user":"\u{1b}[2J\u{9b}31m","score":1}]);
        let said = line(UNIX_EPOCH, "scores", None, "top", &rows);
        assert!(!said.contains(char::is_control), "{said:?}");
    }
}
