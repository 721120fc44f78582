//! One requested change of a score, and what became of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BoardId, Micros, ReplyTo, RequestId, Subject, UpdateId, UserId};

/// Scores and increments stay within ±(2^53−1): exact in JavaScript numbers and in sorted-set scores.
pub const SCORE_LIMIT: i64 = (1 << 53) - 1;

/// How an update changes a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op", content = "amount")]
pub enum Operator {
    /// Adds a non-zero whole number within ±(2^53−1).
    Increment(i64),
}

impl Operator {
    /// The operator's stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Increment(_) => "increment",
        }
    }

    /// The operator's number.
    #[must_use]
    pub const fn amount(self) -> i64 {
        match self {
            Self::Increment(amount) => amount,
        }
    }
}

/// A score update as it travels through the queue: whole, so that a worker needs nothing else to apply it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreUpdate {
    /// Its identity: the ledger applies an id at most once.
    pub id: UpdateId,
    /// The board it changes.
    pub board: BoardId,
    /// Whose score it changes.
    pub user: UserId,
    /// What it does to the score.
    #[serde(flatten)]
    pub operator: Operator,
    /// When it was accepted.
    pub accepted_at: Micros,
    /// Who submitted it.
    pub submitter: Subject,
    /// The request it came in with.
    pub request: RequestId,
    /// Where a request waits for the decision, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// Which try this is, from 1: the worker's knowledge, not part of what is queued.
    #[serde(skip, default = "first_attempt")]
    pub attempt: u32,
}

const fn first_attempt() -> u32 {
    1
}

/// A digest of what an update asks for: a repeated key with another body is told apart from a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The first 128 bits of SHA-256 over (board, user, operator, amount).
    #[must_use]
    pub fn of(board: &BoardId, user: UserId, operator: Operator) -> Self {
        let mut hash = Sha256::new();
        hash.update((board.as_str().len() as u64).to_be_bytes());
        hash.update(board.as_str());
        hash.update(user.get().to_be_bytes());
        hash.update(operator.name());
        hash.update(operator.amount().to_be_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(bytes)
    }
}

/// Why an update was recorded but changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such user.
    #[error("no user has this id: create it first with POST /users")]
    UnknownUser,
    /// The user was deleted.
    #[error("this user was deleted; ids are never reused")]
    UserDeleted,
    /// The score would leave ±(2^53−1).
    #[error("the score would leave ±{SCORE_LIMIT}")]
    ScoreOverflow,
}

impl Rejection {
    /// All of them, for documentation and storage.
    pub const ALL: [Self; 3] = [Self::UnknownUser, Self::UserDeleted, Self::ScoreOverflow];

    /// The stable slug that clients branch on.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::UserDeleted => "user-deleted",
            Self::ScoreOverflow => "score-overflow",
        }
    }

    /// The rejection with this slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.slug() == slug)
    }
}

/// What the ledger decided about an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed the score.
    Applied,
    /// It is recorded and changed nothing.
    Rejected(Rejection),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_is_found_by_its_slug() {
        for rejection in Rejection::ALL {
            assert_eq!(Rejection::from_slug(rejection.slug()), Some(rejection));
        }
        assert_eq!(Rejection::from_slug("nonsense"), None);
    }

    #[test]
    fn fingerprints_tell_bodies_apart() {
        let user = |n| UserId::parse(n).expect("valid");
        let print = |n, amount| Fingerprint::of(&BoardId::main(), user(n), Operator::Increment(amount));
        assert_eq!(print(1, 5), print(1, 5));
        assert_ne!(print(1, 5), print(1, 6));
        assert_ne!(print(1, 5), print(2, 5));
    }
}
