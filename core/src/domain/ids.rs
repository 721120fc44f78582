//! Newtype identities. Each is parsed once, at the edge; inside the program an id is valid by type.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SCORE_LIMIT;

/// Why a text or number is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A user id outside 1..=2^53−1.
    #[error("a user id is a whole number from 1 to {SCORE_LIMIT}")]
    UserId,
    /// An idempotency key that is empty, too long or not printable.
    #[error("an idempotency key is 1 to 128 visible ASCII characters")]
    IdempotencyKey,
}

/// A player or any other holder of a score: 1..=2^53−1, exact in JavaScript and in sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(i64);

impl UserId {
    /// # Errors
    /// [`IdError::UserId`] outside 1..=2^53−1.
    pub fn parse(value: i64) -> Result<Self, IdError> {
        if (1..=SCORE_LIMIT).contains(&value) { Ok(Self(value)) } else { Err(IdError::UserId) }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a text that already is such an id (from storage, a token or a generator).
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A named leaderboard.
    BoardId
}
text_id! {
    /// One durable unit of work in a queue (a ULID).
    JobId
}
text_id! {
    /// One accepted score update. Keyed: a hash of (subject, key). Keyless: `<job id>.<index>`.
    UpdateId
}
text_id! {
    /// Follows one request from the edge through queue, ledger and topic, in logs and status.
    RequestId
}
text_id! {
    /// Who sent a request: the `sub` claim of its token.
    Subject
}

impl BoardId {
    /// The board behind `/scores`.
    #[must_use]
    pub fn main() -> Self {
        Self::new("main")
    }
}

impl UpdateId {
    /// The id of a keyed update: the first 128 bits of SHA-256 over (subject, key), so that a repeat finds the first.
    ///
    /// # Errors
    /// [`IdError::IdempotencyKey`] when the key is empty, over 128 characters or not visible ASCII.
    pub fn keyed(subject: &Subject, key: &str) -> Result<Self, IdError> {
        if key.is_empty() || key.len() > 128 || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(IdError::IdempotencyKey);
        }
        let mut hash = Sha256::new();
        // The length keeps (ab, c) and (a, bc) apart.
        hash.update((subject.as_str().len() as u64).to_be_bytes());
        hash.update(subject.as_str());
        hash.update(key);
        Ok(Self(hex(&hash.finalize()[..16])))
    }

    /// The id of the `index`-th keyless update of a job.
    #[must_use]
    pub fn keyless(job: &JobId, index: usize) -> Self {
        Self(format!("{job}.{index}"))
    }

    /// The job a keyless id names; `None` for a keyed id.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.0.split_once('.').map(|(job, _)| JobId::new(job))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_positive_and_exact_in_javascript() {
        assert!(UserId::parse(1).is_ok());
        assert!(UserId::parse(SCORE_LIMIT).is_ok());
        for bad in [0, -1, SCORE_LIMIT + 1, i64::MIN] {
            assert_eq!(UserId::parse(bad), Err(IdError::UserId));
        }
    }

    #[test]
    fn the_same_subject_and_key_give_the_same_update_id() {
        let ann = Subject::new("ann");
        let id = |s: &Subject, k: &str| UpdateId::keyed(s, k).map(|id| id.to_string());
        assert_eq!(id(&ann, "k"), id(&ann, "k"));
        assert_ne!(id(&ann, "k"), id(&Subject::new("bob"), "k"));
        assert_ne!(id(&Subject::new("ab"), "c"), id(&Subject::new("a"), "bc"));
        assert_eq!(id(&ann, ""), Err(IdError::IdempotencyKey));
        assert_eq!(id(&ann, &"x".repeat(129)), Err(IdError::IdempotencyKey));
        assert_eq!(id(&ann, "tab\there"), Err(IdError::IdempotencyKey));
        assert_eq!(id(&ann, "two words"), Err(IdError::IdempotencyKey));
    }

    #[test]
    fn a_keyless_id_names_its_job() {
        let id = UpdateId::keyless(&JobId::new("01J"), 3);
        assert_eq!(id.as_str(), "01J.3");
        assert_eq!(id.job(), Some(JobId::new("01J")));
        assert_eq!(UpdateId::new("00ff").job(), None);
    }
}
