//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Micros;

/// Wall-clock time. Durations are measured by the monotonic clock instead, never by differences of this one.
pub trait Clock: Send + Sync {
    /// Now, in microseconds since the Unix epoch.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
