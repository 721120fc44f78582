//! Answers to requests that wait for the decision about their update, in whichever process they wait.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::domain::ReplyTo;

/// A request that waits; it stops waiting when dropped.
pub struct Waiter {
    reply_to: ReplyTo,
    told: Arc<Notify>,
    /// Gives the place back when dropped.
    _place: Box<dyn Send + Sync>,
}

impl Waiter {
    /// A waiter with this ticket, which `told` wakes; `place` is dropped with it.
    #[must_use]
    pub fn new(reply_to: ReplyTo, told: Arc<Notify>, place: impl Send + Sync + 'static) -> Self {
        Self { reply_to, told, _place: Box::new(place) }
    }

    /// Where it is answered: travels with the update.
    #[must_use]
    pub const fn reply_to(&self) -> &ReplyTo {
        &self.reply_to
    }

    /// Returns when there is a reason to look at what became of the update. May be called again.
    pub async fn told(&self) {
        self.told.notified().await;
    }
}

/// Tells waiting requests to look.
///
/// Obligations: an answer reaches the waiter of its ticket, in this process or another, also when it comes before
/// the waiter listens; other waiters are left alone. An answer says no more than "look": it may be lost, and when
/// an adapter can not say whether some were, it tells every waiter of its process. Answering never waits and never
/// fails. A dropped waiter leaves nothing behind.
pub trait Replies: Send + Sync {
    /// A place to wait in this process; `None` when as many wait as may.
    fn expect(&self) -> Option<Waiter>;
    /// Tells these waiters that their updates are decided and published.
    fn answer(&self, to: &[ReplyTo]);
}
