//! The gate before every request: closed for all while the server wants them later.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Requests held back together come back spread over this time.
const SPREAD: Duration = Duration::from_millis(100);

/// Lets requests pass from a moment on that only ever moves later.
pub(crate) struct Gate {
    closed_until: Mutex<Instant>,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self { closed_until: Mutex::new(Instant::now()) }
    }

    /// Holds back all requests for `wait` from now.
    pub(crate) fn hold(&self, wait: Duration) {
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed_until = (*closed_until).max(Instant::now() + wait);
    }

    /// Waits until no hold is in force.
    pub(crate) async fn pass(&self) {
        loop {
            let closed_until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
            if closed_until <= Instant::now() {
                return;
            }
            sleep_until(closed_until + SPREAD.mul_f64(rand::random())).await;
        }
    }
}
