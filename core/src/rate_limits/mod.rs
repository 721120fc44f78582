//! Adapters of the [`RateLimits`](crate::ports::RateLimits) port.

mod breaker;
mod held;
mod local;
mod redis;

pub use self::redis::{Patience, RedisRateLimits};
pub use local::LocalRateLimits;
