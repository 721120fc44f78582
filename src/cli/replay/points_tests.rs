//! Tests of the rules on small hand-written events.

use super::*;

/// The rules and points that an event of type `kind` earns; `details` are further fields of the event.
fn earned_in(period: u8, kind: &str, details: &str, table: &PointsTable) -> Vec<(&'static str, i32)> {
    let text = format!(
        r#"{{"id":"e1","period":{period},"timestamp":"00:01:00.000","minute":1,"second":0,
            "type":{{"name":"{kind}"}},"player":{{"id":1001,"name":"Ada"}}{details}}}"#
    );
    let event: Event = serde_json::from_str(&text).expect("a sound event");
    score(&event, table).into_iter().map(|award| (award.rule, award.points)).collect()
}

fn rules(kind: &str, details: &str) -> Vec<&'static str> {
    let earned = earned_in(1, kind, details, &PointsTable::default());
    earned.into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn a_pass_without_an_outcome_is_completed() {
    assert_eq!(rules("Pass", r#","pass":{}"#), ["pass_completed"]);
    assert!(rules("Pass", r#","pass":{"outcome":{"name":"Incomplete"}}"#).is_empty());
    assert!(rules("Pass", r#","pass":{"outcome":{"name":"Unknown"}}"#).is_empty());
}

#[test]
fn a_pass_before_a_goal_is_an_assist_and_before_another_shot_a_key_pass() {
    assert_eq!(rules("Pass", r#","pass":{"goal_assist":true}"#), ["pass_completed", "assist"]);
    assert_eq!(rules("Pass", r#","pass":{"shot_assist":true}"#), ["pass_completed", "key_pass"]);
    assert_eq!(rules("Pass", r#","pass":{"goal_assist":true,"shot_assist":true}"#), ["pass_completed", "assist"]);
}

#[test]
fn a_goal_counts_as_on_target_too() {
    assert_eq!(rules("Shot", r#","shot":{"outcome":{"name":"Goal"}}"#), ["goal", "shot_on_target"]);
}

#[test]
fn a_saved_shot_counts_as_on_target() {
    assert_eq!(rules("Shot", r#","shot":{"outcome":{"name":"Saved"}}"#), ["shot_on_target"]);
    assert_eq!(rules("Shot", r#","shot":{"outcome":{"name":"Saved to Post"}}"#), ["shot_on_target"]);
}

#[test]
fn a_shot_that_would_have_missed_scores_nothing() {
    for outcome in ["Off T", "Wayward", "Blocked", "Post", "Saved Off T"] {
        assert!(rules("Shot", &format!(r#","shot":{{"outcome":{{"name":"{outcome}"}}}}"#)).is_empty(), "{outcome}");
    }
}

#[test]
fn a_missed_penalty_costs_points_and_a_scored_one_does_not() {
    let penalty =
        |outcome: &str| format!(r#","shot":{{"type":{{"name":"Penalty"}},"outcome":{{"name":"{outcome}"}}}}"#);
    assert_eq!(rules("Shot", &penalty("Off T")), ["penalty_missed"]);
    assert_eq!(rules("Shot", &penalty("Saved")), ["shot_on_target", "penalty_missed"]);
    assert_eq!(rules("Shot", &penalty("Goal")), ["goal", "shot_on_target"]);
}

#[test]
fn only_a_tackle_that_was_won_counts() {
    let duel = |kind: &str, outcome: &str| {
        format!(r#","duel":{{"type":{{"name":"{kind}"}},"outcome":{{"name":"{outcome}"}}}}"#)
    };
    for outcome in ["Won", "Success", "Success In Play", "Success Out"] {
        assert_eq!(rules("Duel", &duel("Tackle", outcome)), ["tackle_won"], "{outcome}");
    }
    assert!(rules("Duel", &duel("Tackle", "Lost In Play")).is_empty());
    assert!(rules("Duel", r#","duel":{"type":{"name":"Aerial Lost"}}"#).is_empty());
}

#[test]
fn interceptions_and_dribbles_count_by_their_outcome() {
    assert_eq!(rules("Interception", r#","interception":{"outcome":{"name":"Won"}}"#), ["interception"]);
    assert!(rules("Interception", r#","interception":{"outcome":{"name":"Lost In Play"}}"#).is_empty());
    assert_eq!(rules("Dribble", r#","dribble":{"outcome":{"name":"Complete"}}"#), ["dribble_completed"]);
    assert!(rules("Dribble", r#","dribble":{"outcome":{"name":"Incomplete"}}"#).is_empty());
}

#[test]
fn a_failed_recovery_and_a_team_mates_block_earn_nothing() {
    assert_eq!(rules("Ball Recovery", ""), ["ball_recovery"]);
    assert!(rules("Ball Recovery", r#","ball_recovery":{"recovery_failure":true}"#).is_empty());
    assert_eq!(rules("Block", r#","block":{"deflection":true}"#), ["block"]);
    assert!(rules("Block", r#","block":{"offensive":true}"#).is_empty());
}

#[test]
fn an_aerial_duel_is_won_by_what_follows_it() {
    assert_eq!(rules("Clearance", r#","clearance":{"aerial_won":true}"#), ["clearance", "aerial_won"]);
    assert_eq!(rules("Miscontrol", r#","miscontrol":{"aerial_won":true}"#), ["miscontrol", "aerial_won"]);
}

#[test]
fn the_goalkeeper_is_judged_by_the_type_of_the_action() {
    let keeper = |kind: &str| format!(r#","goalkeeper":{{"type":{{"name":"{kind}"}}}}"#);
    for kind in ["Shot Saved", "Shot Saved To Post", "Shot Saved Off T", "Save", "Saved to Post"] {
        assert_eq!(rules("Goal Keeper", &keeper(kind)), ["save"], "{kind}");
    }
    for kind in ["Penalty Saved", "Penalty Saved to Post"] {
        assert_eq!(rules("Goal Keeper", &keeper(kind)), ["penalty_saved"], "{kind}");
    }
    for kind in ["Goal Conceded", "Penalty Conceded"] {
        assert_eq!(rules("Goal Keeper", &keeper(kind)), ["goal_conceded"], "{kind}");
    }
    for kind in ["Shot Faced", "Collected", "Punch", "Keeper Sweeper"] {
        assert!(rules("Goal Keeper", &keeper(kind)).is_empty(), "{kind}");
    }
}

#[test]
fn a_foul_adds_its_card_and_its_penalty() {
    let card = |name: &str| format!(r#","foul_committed":{{"card":{{"name":"{name}"}},"penalty":true}}"#);
    assert_eq!(rules("Foul Committed", ""), ["foul_committed"]);
    assert_eq!(rules("Foul Committed", &card("Yellow Card")), ["foul_committed", "penalty_conceded", "yellow_card"]);
    assert_eq!(
        rules("Foul Committed", &card("Second Yellow")),
        ["foul_committed", "penalty_conceded", "second_yellow"]
    );
    assert_eq!(rules("Foul Committed", &card("Red Card")), ["foul_committed", "penalty_conceded", "red_card"]);
    assert_eq!(rules("Foul Won", r#","foul_won":{"penalty":true}"#), ["foul_won", "penalty_won"]);
}

#[test]
fn a_card_for_bad_behaviour_counts_without_a_foul() {
    assert_eq!(rules("Bad Behaviour", r#","bad_behaviour":{"card":{"name":"Yellow Card"}}"#), ["yellow_card"]);
}

#[test]
fn an_own_goal_costs_its_player_and_earns_nobody_anything() {
    assert_eq!(rules("Own Goal Against", ""), ["own_goal"]);
    assert!(rules("Own Goal For", "").is_empty());
}

#[test]
fn mistakes_cost_points() {
    assert_eq!(rules("Dispossessed", ""), ["dispossessed"]);
    assert_eq!(rules("Dribbled Past", ""), ["dribbled_past"]);
    assert_eq!(rules("Error", ""), ["error"]);
}

#[test]
fn a_shoot_out_scores_nothing() {
    let goal = r#","shot":{"type":{"name":"Penalty"},"outcome":{"name":"Goal"}}"#;
    assert!(earned_in(5, "Shot", goal, &PointsTable::default()).is_empty());
    assert_eq!(earned_in(4, "Shot", goal, &PointsTable::default()).len(), 2);
}

#[test]
fn a_rule_worth_nothing_awards_nothing() {
    let table = PointsTable { goal: 0, shot_on_target: -7, ..PointsTable::default() };
    let goal = r#","shot":{"outcome":{"name":"Goal"}}"#;
    assert_eq!(earned_in(1, "Shot", goal, &table), [("shot_on_target", -7)]);
}

#[test]
fn an_event_without_a_player_scores_nothing() {
    let event = Event { period: 1, kind: Named { name: "Own Goal Against".to_owned() }, ..Event::default() };
    assert!(score(&event, &PointsTable::default()).is_empty());
}
