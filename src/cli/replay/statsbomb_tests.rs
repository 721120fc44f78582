//! Tests of the match file reader on small hand-written files.

use super::*;

/// A file of one event of type Shot, with `from` replaced by `to` in its text.
fn shot_with(from: &str, to: &str) -> Result<Vec<Event>, MatchFileError> {
    let text = r#"[{"id":"e1","index":1,"period":1,"timestamp":"00:12:34.500","minute":12,"second":34,
        "type":{"id":16,"name":"Shot"},"player":{"id":1001,"name":"Ada"},"location":[110.0,40.0],
        "shot":{"statsbomb_xg":0.2,"outcome":{"id":97,"name":"Goal"}}}]"#;
    assert!(text.contains(from), "{from} is not in the sample text");
    parse(text.replace(from, to).as_bytes())
}

fn message(result: Result<Vec<Event>, MatchFileError>) -> String {
    result.expect_err("the file is wrong").to_string()
}

#[test]
fn an_event_keeps_what_points_and_the_clock_need() {
    let events = shot_with("Goal", "Saved").expect("a sound file");
    let event = &events[0];
    assert_eq!(event.timestamp, Duration::from_millis(12 * 60_000 + 34_500));
    assert_eq!(event.player, Some(Player { id: 1001, name: "Ada".to_owned() }));
    let shot = event.shot.as_ref().expect("a shot");
    assert_eq!(shot.outcome.as_ref().map(|outcome| outcome.name.as_str()), Some("Saved"));
}

#[test]
fn a_wrong_value_is_reported_with_position_and_field() {
    let said = message(shot_with(r#""name":"Goal""#, r#""name":7"#));
    assert!(
        said.contains("position 0 (the first is 0), field `shot.outcome.name`: invalid type: integer `7`"),
        "{said}"
    );
}

#[test]
fn a_missing_field_is_reported_by_name() {
    let said = message(shot_with(r#""minute":12,"#, ""));
    assert!(said.contains("position 0 (the first is 0): missing field `minute`"), "{said}");
}

#[test]
fn a_bad_timestamp_is_quoted() {
    let said = message(shot_with("00:12:34.500", "12 past"));
    assert!(said.contains("field `timestamp`: `12 past` is not a time written HH:MM:SS.mmm"), "{said}");
}

#[test]
fn a_shot_without_its_detail_is_refused() {
    let said = message(shot_with(r#""shot":{"#, r#""shut":{"#));
    assert!(said.contains("field `shot`: is missing from an event of type Shot"), "{said}");
}

#[test]
fn an_event_id_that_cannot_stand_in_a_key_is_refused() {
    for id in ["", "two words", "é", &"x".repeat(49)] {
        let said = message(shot_with(r#""id":"e1""#, &format!(r#""id":"{id}""#)));
        assert!(said.contains("field `id`: must be 1 to 48 visible ASCII characters"), "{said}");
    }
}

#[test]
fn a_repeated_event_id_is_refused() {
    let one = r#"{"id":"e1","period":1,"timestamp":"00:00:00","minute":0,"second":0,"type":{"name":"Half Start"}}"#;
    let said = message(parse(format!("[{one},{one}]").as_bytes()));
    assert!(said.contains("position 1 (the first is 0), field `id`: e1 was already the id"), "{said}");
}

#[test]
fn a_file_of_another_kind_says_which() {
    assert!(message(parse(b"<html>")).starts_with("the match file is not JSON"));
    assert!(message(parse(b"[{\"id\":")).starts_with("the match file is not JSON"));
    assert!(message(parse(b"[] more")).starts_with("the match file is not JSON"));
    assert_eq!(message(parse(b"{}")), "the match file is JSON, but not an array of events");
    assert_eq!(message(parse(b"3")), "the match file is JSON, but not an array of events");
    assert_eq!(message(parse(b"[]")), "the match file holds no events");
    assert!(
        message(parse(b"[1]"))
            .contains("position 0 (the first is 0): invalid type: integer `1`, expected an event object")
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = message(read(Path::new("no/such/match.json")));
    assert!(said.starts_with("cannot read no/such/match.json: "), "{said}");
}

#[test]
fn period_times_are_read_to_the_millisecond() {
    assert_eq!(parse_period_time("01:02:03.004"), Some(Duration::from_millis(3_723_004)));
    assert_eq!(parse_period_time("00:00:09"), Some(Duration::from_secs(9)));
    for wrong in ["", "1:2", "00:60:00", "00:00:61", "+1:00:00", "00:00:00:00", "00:00:00.", "00:00:00.x"] {
        assert_eq!(parse_period_time(wrong), None, "{wrong}");
    }
}
