//! Whether the worker gets anywhere: read by the readiness check.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A worker that showed no sign of life for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(10);

/// Signs of life and the last obstacle.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    /// Of a worker of another kind, that has to get on, too.
    beside: Option<Arc<Health>>,
}

#[derive(Debug, Default)]
struct State {
    last_beat: Option<Instant>,
    obstacle: Option<String>,
}

impl Health {
    /// Of a worker that runs beside another one: they are well together.
    #[must_use]
    pub fn beside(other: Arc<Self>) -> Self {
        Self { beside: Some(other), ..Self::default() }
    }

    /// The worker is alive.
    pub fn beat(&self) {
        self.lock().last_beat = Some(Instant::now());
    }

    /// The worker waits because of this.
    pub fn blocked(&self, obstacle: String) {
        self.lock().obstacle = Some(obstacle);
    }

    /// The worker got on.
    pub fn unblocked(&self) {
        self.lock().obstacle = None;
    }

    /// Returns when the worker has shown no sign of life for this long.
    pub async fn silent(&self, longest: Duration) {
        loop {
            let silence = self.lock().last_beat.map_or(Duration::ZERO, |beat| beat.elapsed());
            let Some(left) = longest.checked_sub(silence).filter(|left| !left.is_zero()) else { return };
            tokio::time::sleep(left).await;
        }
    }

    /// Whether the worker gets anywhere.
    ///
    /// # Errors
    /// What holds it up.
    pub fn check(&self) -> Result<(), String> {
        if let Some(beside) = &self.beside {
            beside.check()?;
        }
        let state = self.lock();
        if let Some(obstacle) = &state.obstacle {
            return Err(obstacle.clone());
        }
        match state.last_beat {
            None => Err("the worker has not started yet".to_owned()),
            Some(beat) if beat.elapsed() > SILENCE => {
                Err(format!("the worker gave no sign of life for {} s", beat.elapsed().as_secs()))
            }
            Some(_) => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_beats_is_not_silent_and_one_that_stopped_is() {
        let health = Health::default();
        health.beat();
        let long = Duration::from_secs(3_600);
        assert!(poll!(Box::pin(health.silent(long))).is_pending());
        let short = Duration::from_millis(1);
        tokio::time::timeout(long, health.silent(short)).await.expect("silence is noticed");
        health.beat();
        assert!(poll!(Box::pin(health.silent(long))).is_pending());
    }
}
