//! Stops asking a Redis that does not answer, and tries again now and then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Closed while Redis answers; open for a pause after each failure.
pub(super) struct Breaker {
    pause: Duration,
    open_until: Mutex<Option<Instant>>,
}

impl Breaker {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, open_until: Mutex::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether to ask now. After the pause one caller may, for all others.
    pub(super) fn permits(&self) -> bool {
        let mut open_until = self.lock();
        let now = Instant::now();
        match *open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                *open_until = Some(now + self.pause);
                true
            }
        }
    }

    /// Notes an answer; says whether it was the first after a failure.
    pub(super) fn close(&self) -> bool {
        self.lock().take().is_some()
    }

    /// Notes a failure; says whether it was the first.
    pub(super) fn open(&self) -> bool {
        self.lock().replace(Instant::now() + self.pause).is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.open_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_pause_one_caller_tries_for_all() {
        let breaker = Breaker::new(Duration::from_secs(3_600));
        assert!(breaker.permits() && breaker.permits());
        assert!(breaker.open() && !breaker.open(), "the first failure is told from the next");
        assert!(!breaker.permits() && breaker.is_open());
        *breaker.lock() = Some(Instant::now());
        assert!(breaker.permits() && !breaker.permits());
        assert!(breaker.close() && !breaker.close());
        assert!(breaker.permits() && breaker.permits());
    }
}
