//! Reads a match in the event shape of StatsBomb open data: one JSON array, one object for each thing that happened.
//!
//! Only the fields that points or the clock depend on are kept; every other field is ignored, so that newer editions of
//! the format still load. A field that is kept must have the right shape: a wrong one is reported with its place.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::match_error::{FieldName, MatchFileError};

/// Longest event id taken, in bytes: it becomes a part of an `Idempotency-Key`, which may hold 128.
const EVENT_ID_MAX_BYTES: usize = 48;

/// One thing that happened in the match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(expecting = "an event object")]
pub(crate) struct Event {
    /// Unique within the file, a UUID in the real data.
    pub(crate) id: String,
    /// 1 and 2 are the halves, 3 and 4 extra time, 5 the shoot-out.
    pub(crate) period: u8,
    /// Time since the start of the period, written `HH:MM:SS.mmm`.
    #[serde(deserialize_with = "period_time")]
    pub(crate) timestamp: Duration,
    /// Minute of the match clock; the second half starts at 45.
    pub(crate) minute: u32,
    /// Second of the match clock.
    pub(crate) second: u32,
    /// What happened: `Pass`, `Shot`, `Foul Committed`…
    #[serde(rename = "type")]
    pub(crate) kind: Named,
    /// Who did it; absent for the start of a half and the like.
    pub(crate) player: Option<Player>,
    pub(crate) pass: Option<Detail>,
    pub(crate) shot: Option<Detail>,
    pub(crate) dribble: Option<Detail>,
    pub(crate) duel: Option<Detail>,
    pub(crate) interception: Option<Detail>,
    pub(crate) goalkeeper: Option<Detail>,
    pub(crate) foul_committed: Option<Detail>,
    pub(crate) foul_won: Option<Detail>,
    pub(crate) bad_behaviour: Option<Detail>,
    pub(crate) ball_recovery: Option<Detail>,
    pub(crate) block: Option<Detail>,
    pub(crate) clearance: Option<Detail>,
    pub(crate) miscontrol: Option<Detail>,
}

/// A player: the id and the name that the user of the scoreboard gets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "a player object")]
pub(crate) struct Player {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// An entry of one of the format's vocabularies; its numeric id is not needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(expecting = "an object with a name")]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// The object named after the kind of event. Each kind uses only some of these fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "an object with the event's details")]
pub(crate) struct Detail {
    pub(crate) outcome: Option<Named>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Named>,
    pub(crate) card: Option<Named>,
    pub(crate) goal_assist: bool,
    pub(crate) shot_assist: bool,
    pub(crate) aerial_won: bool,
    pub(crate) penalty: bool,
    pub(crate) offensive: bool,
    pub(crate) recovery_failure: bool,
}

/// Reads and checks the file at `path`; the events come in the order of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>, MatchFileError> {
    let bytes = std::fs::read(path).map_err(|cause| MatchFileError::Unreadable { path: path.to_owned(), cause })?;
    parse(&bytes)
}

/// Parses and checks the text of a match file.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Event>, MatchFileError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let events: Vec<Event> = serde_path_to_error::deserialize(&mut reader).map_err(MatchFileError::located)?;
    reader.end().map_err(MatchFileError::NotJson)?;
    if events.is_empty() {
        return Err(MatchFileError::Empty);
    }
    let mut seen = HashSet::new();
    for (position, event) in events.iter().enumerate() {
        let wrong =
            |field: &str, reason: String| MatchFileError::Malformed { position, field: FieldName::from(field), reason };
        let usable = event.id.bytes().all(|byte| byte.is_ascii_graphic());
        if !usable || event.id.is_empty() || event.id.len() > EVENT_ID_MAX_BYTES {
            return Err(wrong("id", format!("must be 1 to {EVENT_ID_MAX_BYTES} visible ASCII characters")));
        }
        if !seen.insert(event.id.as_str()) {
            return Err(wrong("id", format!("{} was already the id of an earlier event", event.id)));
        }
        if let Some(field) = event.missing_detail() {
            return Err(wrong(field, format!("is missing from an event of type {}", event.kind.name)));
        }
    }
    Ok(events)
}

impl Event {
    /// The object that an event of this kind cannot be judged without, when it is absent.
    fn missing_detail(&self) -> Option<&'static str> {
        let (field, detail) = match self.kind.name.as_str() {
            "Pass" => ("pass", &self.pass),
            "Shot" => ("shot", &self.shot),
            "Dribble" => ("dribble", &self.dribble),
            "Duel" => ("duel", &self.duel),
            "Interception" => ("interception", &self.interception),
            "Goal Keeper" => ("goalkeeper", &self.goalkeeper),
            _ => return None,
        };
        detail.is_none().then_some(field)
    }
}

/// `HH:MM:SS.mmm`, or without the fraction, as a duration.
fn period_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_period_time(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not a time written HH:MM:SS.mmm")))
}

fn parse_period_time(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() {
        return None;
    }
    let number = |part: &str, below: u64| {
        let digits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|&value| digits && value < below)
    };
    let mut parts = whole.split(':');
    let hours = number(parts.next()?, 100)?;
    let minutes = number(parts.next()?, 60)?;
    let seconds = number(parts.next()?, 60)?;
    let nanos = number(&format!("{fraction:0<9}"), 1_000_000_000)?;
    if parts.next().is_some() {
        return None;
    }
    Some(Duration::from_secs(hours * 3600 + minutes * 60 + seconds) + Duration::from_nanos(nanos))
}

#[cfg(test)]
#[path = "statsbomb_tests.rs"]
mod tests;
