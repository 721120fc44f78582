//! The points of a match, summed over its raw JSON: written apart from the command's own rules, by paths instead
//! of types, so that a mistake in one shows.

use std::collections::BTreeMap;

use serde_json::Value;

fn text<'v>(event: &'v Value, path: &str) -> &'v str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn flag(event: &Value, path: &str) -> bool {
    event.pointer(path).and_then(Value::as_bool).unwrap_or_default()
}

/// Points by player, of everybody an update is posted for.
pub(super) fn sums(events: &[Value]) -> BTreeMap<i64, i64> {
    let mut sums = BTreeMap::new();
    for event in events {
        let Some(player) = event.pointer("/player/id").and_then(Value::as_i64) else { continue };
        let deeds = deeds(event);
        if !deeds.is_empty() && event["period"] != 5 {
            *sums.entry(player).or_default() += deeds.iter().sum::<i64>();
        }
    }
    sums
}

fn deeds(event: &Value) -> Vec<i64> {
    let outcome = |kind: &str| text(event, &format!("/{kind}/outcome/name")).to_lowercase();
    let won = |kind: &str| outcome(kind) == "won" || outcome(kind).starts_with("success");
    let mut deeds = Vec::new();
    let mut add = |points: i64, earned: bool| deeds.extend(earned.then_some(points));
    for kind in ["pass", "shot", "clearance", "miscontrol"] {
        add(2, flag(event, &format!("/{kind}/aerial_won")));
    }
    match text(event, "/type/name") {
        "Pass" => {
            let (goal, shot) = (flag(event, "/pass/goal_assist"), flag(event, "/pass/shot_assist"));
            add(1, event.get("pass").is_some() && outcome("pass").is_empty());
            add(if goal { 30 } else { 10 }, goal || shot);
        }
        "Shot" => {
            let end = outcome("shot");
            add(60, end == "goal");
            add(10, ["goal", "saved", "saved to post"].contains(&end.as_str()));
            add(-25, text(event, "/shot/type/name") == "Penalty" && end != "goal");
        }
        "Dribble" => add(3, outcome("dribble") == "complete"),
        "Duel" => add(5, text(event, "/duel/type/name") == "Tackle" && won("duel")),
        "Interception" => add(4, won("interception")),
        "Ball Recovery" => add(2, !flag(event, "/ball_recovery/recovery_failure")),
        "Clearance" => add(2, true),
        "Block" => add(3, !flag(event, "/block/offensive")),
        "Goal Keeper" => {
            let kind = text(event, "/goalkeeper/type/name");
            add(10, kind.starts_with("Shot Saved") || kind.starts_with("Save"));
            add(40, kind.starts_with("Penalty Saved"));
            add(-10, kind == "Goal Conceded" || kind == "Penalty Conceded");
        }
        "Foul Won" => {
            add(2, true);
            add(15, flag(event, "/foul_won/penalty"));
        }
        "Foul Committed" => {
            add(-3, true);
            add(-20, flag(event, "/foul_committed/penalty"));
        }
        "Dispossessed" | "Dribbled Past" => add(-2, true),
        "Miscontrol" => add(-1, true),
        "Error" => add(-8, true),
        "Own Goal Against" => add(-40, true),
        _ => {}
    }
    for card in ["/foul_committed/card/name", "/bad_behaviour/card/name"] {
        match text(event, card) {
            "Yellow Card" => add(-10, true),
            "Second Yellow" => add(-20, true),
            "Red Card" => add(-30, true),
            _ => {}
        }
    }
    deeds
}
