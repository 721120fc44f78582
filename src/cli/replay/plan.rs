//! The plan of a run: every update to post, in the order of the match, with its key and when it is due.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::pace::{Speed, TimeLine, clock};
use super::points::{Award, PointsTable, score};
use super::statsbomb::{Event, Player};

/// Longest run id, in bytes. With an event id of 48 and a rule's name it stays below the 128 bytes of a key.
const RUN_ID_MAX_BYTES: usize = 48;

/// Names a run: the same run id posts under the same keys, so a second time changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunId(String);

/// Why a `--run-id` was not taken.
#[derive(Debug, thiserror::Error)]
#[error("a run id must be 1 to {RUN_ID_MAX_BYTES} letters, digits, dots, dashes or underscores")]
pub(crate) struct RunIdError;

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // A leading dash would read as an option when the run is repeated.
        let fits = (1..=RUN_ID_MAX_BYTES).contains(&text.len()) && !text.starts_with('-');
        if plain && fits { Ok(Self(text.to_owned())) } else { Err(RunIdError) }
    }
}

impl RunId {
    /// A new one: the time for a reader, and chance so that two runs started in the same second differ.
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(format!("run-{}-{:08x}", now.as_secs(), rand::random::<u32>()))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One score update to post.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    /// `Idempotency-Key`: `<run id>:<event id>:<rule>`.
    pub(crate) key: String,
    pub(crate) player: Player,
    pub(crate) rule: &'static str,
    pub(crate) points: i32,
    /// When to post it, counted from the start of the replay.
    pub(crate) due: Duration,
    /// The match clock at the event.
    pub(crate) clock: String,
}

/// Every update that the events give by the table, in the order of the file.
pub(crate) fn plan(events: &[Event], table: &PointsTable, run_id: &RunId, speed: Speed) -> Vec<Update> {
    let line = TimeLine::new(events);
    let update = |event: &Event, award: Award<'_>| Update {
        key: format!("{run_id}:{}:{}", event.id, award.rule),
        player: award.player.clone(),
        rule: award.rule,
        points: award.points,
        due: speed.wall(line.at(event)),
        clock: clock(event),
    };
    events
        .iter()
        .flat_map(|event| score(event, table).into_iter().map(move |award| (event, award)))
        .map(|(event, award)| update(event, award))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::statsbomb::parse;
    use super::*;

    fn goal() -> Vec<Event> {
        let text = r#"[{"id":"e-1","period":2,"timestamp":"00:01:00","minute":46,"second":0,"type":{"name":"Shot"},
            "player":{"id":7,"name":"Ada"},"shot":{"outcome":{"name":"Goal"}}}]"#;
        parse(text.as_bytes()).expect("a sound file")
    }

    #[test]
    fn a_key_names_the_run_the_event_and_the_rule() {
        let run_id: RunId = "cup-final".parse().expect("a run id");
        let speed: Speed = "60".parse().expect("a speed");
        let updates = plan(&goal(), &PointsTable::default(), &run_id, speed);
        let keys: Vec<&str> = updates.iter().map(|update| update.key.as_str()).collect();
        assert_eq!(keys, ["cup-final:e-1:goal", "cup-final:e-1:shot_on_target"]);
        assert_eq!(updates[0].due, Duration::from_secs(1));
        assert_eq!(updates[0].clock, "H2 46:00");
    }

    #[test]
    fn a_new_run_id_is_valid_and_never_the_same() {
        let (one, other) = (RunId::new(), RunId::new());
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse::<RunId>().expect("a valid id"), one);
    }

    #[test]
    fn a_run_id_that_cannot_stand_in_a_key_or_a_command_is_refused() {
        for text in ["", "two words", "é", "-x", "a:b", "$HOME", &"x".repeat(49)] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_sample_match_scores_as_its_story_says() {
        let events = parse(include_bytes!("../../../samples/match.json")).expect("a sound file");
        let (run_id, speed) = (RunId::new(), "60".parse().expect("a speed"));
        let updates = plan(&events, &PointsTable::default(), &run_id, speed);
        let by = |rule: &str| updates.iter().filter(|update| update.rule == rule).count();
        assert_eq!((by("goal"), by("own_goal"), by("assist")), (4, 1, 4));
        assert_eq!((by("yellow_card"), by("red_card"), by("penalty_saved")), (3, 1, 1));
        assert_eq!((events.len(), updates.len()), (825, 739));
        let total: i64 = updates.iter().map(|update| i64::from(update.points)).sum();
        assert_eq!(total, 1_445);
        assert!(updates.is_sorted_by_key(|update| update.due), "a match goes forward");
    }
}
