//! `Prefer: wait`: a write that waits for what becomes of its update.
//!
//! The worker that decides tells the waiting process to look. Who is not told looks when its time is over, so a lost
//! answer costs time and nothing else. The update is durable before the wait begins: nothing that fails from then on
//! turns its acceptance into an error.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use scorewire_core::domain::{ReplyTo, UpdateId};
use scorewire_core::ports::Waiter;
use tokio::time::{Instant, sleep_until, timeout};

use super::scores::{UpdateStatus, status};
use super::{App, prefer};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Between two looks of a repeated request, doubling: its update carries the ticket of the first, if any.
const LOOKS: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// For one look: the ledger may be away, and who waits was promised an end.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// A request that waits until its deadline.
pub(super) struct Waiting {
    waiter: Waiter,
    wait: Duration,
    deadline: Instant,
}

impl Waiting {
    /// Takes a place to wait, if the request prefers to and there is one. Call before the update is accepted, so
    /// that its answer can not come too early.
    pub(super) fn begin(app: &App, headers: &HeaderMap) -> Option<Self> {
        let longest = app.settings.max_wait.0;
        let wait = Duration::from_secs(prefer::wait(headers).filter(|_| !longest.is_zero())?).min(longest);
        let waiter = app.wiring.replies.expect()?;
        Some(Self { waiter, wait, deadline: Instant::now() + wait })
    }

    /// Where the answer is sent.
    pub(super) fn reply_to(&self) -> ReplyTo {
        self.waiter.reply_to().clone()
    }

    /// What became of the update, if that was decided in time. A repeated request looks by itself.
    pub(super) async fn result(&self, app: &App, id: &UpdateId, repeated: bool) -> Option<UpdateStatus> {
        let mut pause = LOOKS.0;
        let mut next_look = if repeated { Instant::now() } else { self.deadline };
        loop {
            let last = tokio::select! {
                () = self.waiter.told() => false,
                () = sleep_until(next_look) => next_look >= self.deadline,
                // A server that stops does not keep anybody waiting.
                () = app.hub_closing.cancelled() => true,
            };
            match timeout(LOOK_TIMEOUT, status(app, id)).await {
                Ok(Ok(Some(status))) if status.is_final() => return Some(status),
                Ok(Err(problem)) => tracing::debug!(update = %id, ?problem, "a waiting request could not look"),
                Ok(Ok(_)) | Err(_) => {}
            }
            if last {
                return None;
            }
            if repeated {
                next_look = (Instant::now() + pause).min(self.deadline);
                pause = (pause * 2).min(LOOKS.1);
            }
        }
    }

    /// Says how long the server was ready to wait.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let seconds = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        if let Ok(applied) = HeaderValue::from_str(&format!("wait={seconds}")) {
            headers.insert(PREFERENCE_APPLIED, applied);
        }
    }
}
