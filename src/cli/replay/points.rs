//! The rules: which deeds an event holds, and the points that the table gives for them.
//!
//! Everything here is pure: the same event and table always give the same awards in the same order, which is what lets
//! a run be repeated under the same keys.

use super::statsbomb::{Detail, Event, Named, Player};
pub(crate) use super::table::PointsTable;

/// The period of a penalty shoot-out, in which nothing scores.
const SHOOT_OUT: u8 = 5;

/// Points for one player by one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Award<'e> {
    /// The rule's key in the points table; no event earns the same rule twice.
    pub(crate) rule: &'static str,
    pub(crate) player: &'e Player,
    /// Never 0.
    pub(crate) points: i32,
}

/// All that `event` earns or costs its player by `table`; empty for most kinds of event.
pub(crate) fn score<'e>(event: &'e Event, table: &PointsTable) -> Vec<Award<'e>> {
    let mut awards = Vec::new();
    let Some(player) = event.player.as_ref().filter(|_| event.period != SHOOT_OUT) else {
        return awards;
    };
    // One name for the rule: its key in the table is also its name in the award.
    macro_rules! award {
        ($rule:ident if $earned:expr) => {
            if $earned && table.$rule != 0 {
                awards.push(Award { rule: stringify!($rule), player, points: table.$rule });
            }
        };
    }
    let has = |detail: &Option<Detail>, flag: fn(&Detail) -> bool| detail.as_ref().is_some_and(flag);

    match event.kind.name.as_str() {
        "Pass" => {
            award!(pass_completed if has(&event.pass, |pass| pass.outcome.is_none()));
            award!(assist if has(&event.pass, |pass| pass.goal_assist));
            award!(key_pass if has(&event.pass, |pass| pass.shot_assist && !pass.goal_assist));
            award!(aerial_won if has(&event.pass, |pass| pass.aerial_won));
        }
        "Shot" => {
            award!(goal if has(&event.shot, is_goal));
            award!(shot_on_target if has(&event.shot, is_on_target));
            award!(penalty_missed if has(&event.shot, |shot| is(&shot.kind, "Penalty") && !is_goal(shot)));
            award!(aerial_won if has(&event.shot, |shot| shot.aerial_won));
        }
        "Dribble" => award!(dribble_completed if has(&event.dribble, |dribble| is(&dribble.outcome, "Complete"))),
        "Duel" => award!(tackle_won if has(&event.duel, |duel| is(&duel.kind, "Tackle") && is_won(duel))),
        "Interception" => award!(interception if has(&event.interception, is_won)),
        "Ball Recovery" => award!(ball_recovery if !has(&event.ball_recovery, |ball| ball.recovery_failure)),
        "Clearance" => {
            award!(clearance if true);
            award!(aerial_won if has(&event.clearance, |clearance| clearance.aerial_won));
        }
        "Block" => award!(block if !has(&event.block, |block| block.offensive)),
        "Goal Keeper" => {
            award!(save if has(&event.goalkeeper, is_save));
            award!(penalty_saved if has(&event.goalkeeper, |keeper| starts(&keeper.kind, "Penalty Saved")));
            award!(goal_conceded if has(&event.goalkeeper, is_conceded));
        }
        "Foul Won" => {
            award!(foul_won if true);
            award!(penalty_won if has(&event.foul_won, |foul| foul.penalty));
        }
        "Foul Committed" => {
            award!(foul_committed if true);
            award!(penalty_conceded if has(&event.foul_committed, |foul| foul.penalty));
        }
        "Dispossessed" => award!(dispossessed if true),
        "Miscontrol" => {
            award!(miscontrol if true);
            award!(aerial_won if has(&event.miscontrol, |touch| touch.aerial_won));
        }
        "Dribbled Past" => award!(dribbled_past if true),
        "Error" => award!(error if true),
        // The counterpart "Own Goal For" only names the team that gained.
        "Own Goal Against" => award!(own_goal if true),
        _ => {}
    }
    // Cards come with a foul or, for dissent and the like, on their own.
    let card =
        |name| [&event.foul_committed, &event.bad_behaviour].into_iter().flatten().any(|deed| is(&deed.card, name));
    award!(yellow_card if card("Yellow Card"));
    award!(second_yellow if card("Second Yellow"));
    award!(red_card if card("Red Card"));
    awards
}

fn is(named: &Option<Named>, name: &str) -> bool {
    named.as_ref().is_some_and(|named| named.name.eq_ignore_ascii_case(name))
}

/// Like [`is`], for names that come with endings: editions of the format write both "to Post" and "To Post".
fn starts(named: &Option<Named>, beginning: &str) -> bool {
    named.as_ref().is_some_and(|named| named.name.starts_with(beginning))
}

fn is_goal(shot: &Detail) -> bool {
    is(&shot.outcome, "Goal")
}

/// "Saved Off T" is a shot that was caught though it would have missed.
fn is_on_target(shot: &Detail) -> bool {
    is_goal(shot) || is(&shot.outcome, "Saved") || is(&shot.outcome, "Saved to Post")
}

/// Won, Success, Success In Play and Success Out, as against the Lost ones.
fn is_won(contest: &Detail) -> bool {
    is(&contest.outcome, "Won") || starts(&contest.outcome, "Success")
}

/// Shot Saved, Shot Saved to Post, Shot Saved Off T, and Save and Saved to Post for what was not quite a shot.
fn is_save(keeper: &Detail) -> bool {
    starts(&keeper.kind, "Shot Saved") || starts(&keeper.kind, "Save")
}

/// "Penalty Conceded" is, for the goalkeeper, a penalty kick that went in.
fn is_conceded(keeper: &Detail) -> bool {
    is(&keeper.kind, "Goal Conceded") || is(&keeper.kind, "Penalty Conceded")
}

#[cfg(test)]
#[path = "points_tests.rs"]
mod tests;
