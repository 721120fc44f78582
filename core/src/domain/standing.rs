//! A user's standing on a board, and how an update changes it.

use super::{BoardId, Micros, Operator, Rejection, SCORE_LIMIT, UserId, UserName};

/// Where a user stands on a board: the absolute truth a cache may be rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The board.
    pub board: BoardId,
    /// The user.
    pub user: UserId,
    /// The absolute score, within ±(2^53−1).
    pub score: i64,
    /// Grows by one with every ledger transaction that changes the standing: newer wins in every cache.
    pub version: i64,
    /// `accepted_at` of the update that last changed the score; breaks ties, earlier first.
    pub reached_at: Micros,
}

impl Standing {
    /// A new user's standing: score 0, version 1.
    #[must_use]
    pub const fn initial(board: BoardId, user: UserId, created_at: Micros) -> Self {
        Self { board, user, score: 0, version: 1, reached_at: created_at }
    }

    /// Applies one operator to score and `reached_at`. The version is the caller's: one step per transaction.
    ///
    /// # Errors
    /// [`Rejection::ScoreOverflow`] when the score would leave ±(2^53−1); the standing is then unchanged.
    pub fn apply(&mut self, operator: Operator, accepted_at: Micros) -> Result<(), Rejection> {
        let Operator::Increment(amount) = operator;
        let score = self
            .score
            .checked_add(amount)
            .filter(|score| score.unsigned_abs() <= SCORE_LIMIT.unsigned_abs())
            .ok_or(Rejection::ScoreOverflow)?;
        if score != self.score {
            // Updates may arrive out of order; the tie-break never moves backwards.
            self.reached_at = self.reached_at.max(accepted_at);
        }
        self.score = score;
        Ok(())
    }
}

/// A standing with the name a board shows beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStanding {
    /// The standing.
    pub standing: Standing,
    /// The user's name.
    pub name: UserName,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(score: i64) -> Standing {
        let user = UserId::parse(1).expect("valid");
        Standing { score, ..Standing::initial(BoardId::main(), user, Micros(5)) }
    }

    #[test]
    fn increments_add_up_and_move_the_tie_break_forward_only() {
        let mut s = standing(10);
        assert_eq!(s.apply(Operator::Increment(5), Micros(9)), Ok(()));
        assert_eq!((s.score, s.reached_at), (15, Micros(9)));
        assert_eq!(s.apply(Operator::Increment(-20), Micros(7)), Ok(()));
        assert_eq!((s.score, s.reached_at), (-5, Micros(9)));
    }

    #[test]
    fn a_score_never_leaves_its_limits() {
        let mut s = standing(SCORE_LIMIT);
        assert_eq!(s.apply(Operator::Increment(1), Micros(9)), Err(Rejection::ScoreOverflow));
        assert_eq!((s.score, s.reached_at), (SCORE_LIMIT, Micros(5)));
        assert_eq!(s.apply(Operator::Increment(-1), Micros(9)), Ok(()));
        let mut low = standing(-SCORE_LIMIT);
        assert_eq!(low.apply(Operator::Increment(i64::MIN), Micros(9)), Err(Rejection::ScoreOverflow));
    }
}
