//! The nouns of a live scoreboard and the rules that hold without a computer: no IO, no clock.

mod ids;
mod leaderboard;
mod message;
mod position;
mod reply;
mod ring;
mod standing;
mod topic;
mod update;
mod user;

pub(crate) use ids::hex;
pub use ids::{BoardId, IdError, JobId, RequestId, Subject, UpdateId, UserId};
pub use leaderboard::{Entry, Leaderboard, Ranked, Upsert};
pub use message::{Event, Message, NewMessage};
pub use position::{Epoch, Position, PositionError};
pub use reply::ReplyTo;
pub use ring::{Lost, Ring, RingLimits};
pub use standing::{NamedStanding, Standing};
pub use topic::TopicName;
pub use update::{Fingerprint, Operator, Outcome, Rejection, SCORE_LIMIT, ScoreUpdate};
pub use user::{NameError, User, UserName};

/// Microseconds since the Unix epoch: the resolution in which ties are broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Whole Unix seconds, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The same instant for formatting; times before 1970 become 1970.
    #[must_use]
    pub fn system_time(self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + std::time::Duration::from_micros(self.0.max(0).unsigned_abs())
    }
}
