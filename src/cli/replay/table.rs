//! How many points each deed of a player is worth: the `[points]` table of the settings file.

use serde::Deserialize;

/// Writes the table once: a rule's meaning, its key and its default stand together.
macro_rules! points_table {
    ($($(#[doc = $meaning:literal])+ $rule:ident = $default:literal,)+) => {
        /// Points by rule. A rule left out keeps its default, 0 switches a rule off, and an unknown key is refused.
        ///
        /// The rules add up: a headed goal from a won aerial duel earns `goal`, `shot_on_target` and `aerial_won`.
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct PointsTable {
            $($(#[doc = $meaning])+ #[doc = concat!(" Default: ", $default, ".")] pub(crate) $rule: i32,)+
        }

        impl Default for PointsTable {
            fn default() -> Self {
                Self { $($rule: $default,)+ }
            }
        }
    };
}

points_table! {
    /// A goal, penalties in play included.
    goal = 60,
    /// The pass before a goal.
    assist = 30,
    /// The pass before a shot that was no goal.
    key_pass = 10,
    /// A shot that was a goal or that the goalkeeper had to save, if only onto the post.
    shot_on_target = 10,
    /// A pass that reached a team mate.
    pass_completed = 1,
    /// A dribble past an opponent.
    dribble_completed = 3,
    /// A header or jump for the ball won by a pass, a shot, a clearance or a touch.
    aerial_won = 2,
    /// A tackle that won the ball or put it out of play.
    tackle_won = 5,
    /// An interception that kept the ball or put it out of play.
    interception = 4,
    /// A loose ball taken; an attempt that failed earns nothing.
    ball_recovery = 2,
    /// The ball sent away from danger.
    clearance = 2,
    /// An opponent's pass or shot blocked; standing in a team mate's way earns nothing.
    block = 3,
    /// A shot kept out by the goalkeeper.
    save = 10,
    /// A penalty kick kept out by the goalkeeper.
    penalty_saved = 40,
    /// A goal let in by the goalkeeper.
    goal_conceded = -10,
    /// A foul by an opponent.
    foul_won = 2,
    /// A foul that gave the own team a penalty kick, besides `foul_won`.
    penalty_won = 15,
    /// A foul.
    foul_committed = -3,
    /// A foul that gave the opponents a penalty kick, besides `foul_committed`.
    penalty_conceded = -20,
    /// A penalty kick in play that was no goal.
    penalty_missed = -25,
    /// The ball lost to an opponent's challenge.
    dispossessed = -2,
    /// The ball lost by a bad touch.
    miscontrol = -1,
    /// Beaten by an opponent's dribble.
    dribbled_past = -2,
    /// A mistake on the ball that led to a shot.
    error = -8,
    /// A first yellow card.
    yellow_card = -10,
    /// A second yellow card, which sends the player off.
    second_yellow = -20,
    /// A straight red card.
    red_card = -30,
    /// The ball put into the own goal.
    own_goal = -40,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(text: &str) -> Result<PointsTable, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_rule_left_out_keeps_its_default() {
        let table = from_json(r#"{"goal": 100, "pass_completed": 0}"#).expect("a sound table");
        assert_eq!(table, PointsTable { goal: 100, pass_completed: 0, ..PointsTable::default() });
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let said = from_json(r#"{"gaol": 100}"#).expect_err("no such rule").to_string();
        assert!(said.starts_with("unknown field `gaol`, expected one of `goal`"), "{said}");
    }

    #[test]
    fn a_fraction_of_a_point_is_refused() {
        assert!(from_json(r#"{"goal": 1.5}"#).is_err());
    }
}
