//! The nouns of a live scoreboard and the rules that hold without a computer: no IO, no clock.

use std::time::Duration;

mod breaker;
mod feed;
mod fetch_failure;
mod ids;
mod json;
mod keeping;
mod leaderboard;
mod message;
mod position;
mod reply;
mod ring;
mod source_url;
mod standing;
mod topic;
mod update;
mod user;

pub use breaker::{Breaker, BreakerPolicy};
pub use feed::{FeedError, FeedName, FeedValue};
pub use fetch_failure::{Blame, FetchFailure, FetchFault};
pub(crate) use ids::hex;
pub use ids::{BoardId, IdError, JobId, RequestId, Subject, UpdateId, UserId};
pub(crate) use json::strict_json;
pub use keeping::{Keeping, Kept};
pub use leaderboard::{Entry, Leaderboard, Ranked, Upsert};
pub use message::{Event, EventError, Key, Message, NewMessage};
pub use position::{Epoch, Position, PositionError};
pub use reply::ReplyTo;
pub use ring::{Lost, Ring, RingLimits, Since, Stored};
pub use source_url::SourceUrl;
pub use standing::{NamedStanding, Standing};
pub use topic::{TopicError, TopicKind, TopicName};
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

    /// Seconds from an earlier instant to this one; 0 from a later one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "what is measured so is far below 2^52 µs")]
    pub const fn seconds_since(self, earlier: Self) -> f64 {
        let us = self.0.saturating_sub(earlier.0);
        if us < 0 { 0.0 } else { us as f64 / 1e6 }
    }

    /// The instant this long after.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant this long before.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Time from an earlier instant to this one; none from a later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// The same instant for formatting; times before 1970 become 1970.
    #[must_use]
    pub fn system_time(self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + Duration::from_micros(self.0.max(0).unsigned_abs())
    }
}
