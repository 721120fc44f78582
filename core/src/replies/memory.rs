//! Replies within one process.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

use super::tickets::Tickets;
use crate::domain::ReplyTo;
use crate::ports::{Replies, Waiter};

/// Replies of a process whose worker is its own.
pub struct MemoryReplies {
    tickets: Arc<Tickets>,
}

impl MemoryReplies {
    /// At most `limit` requests wait at a time, counted by `waiting`.
    #[must_use]
    pub fn new(limit: usize, waiting: Gauge) -> Self {
        Self { tickets: Arc::new(Tickets::new(limit, waiting)) }
    }
}

impl Replies for MemoryReplies {
    fn expect(&self) -> Option<Waiter> {
        self.tickets.take()
    }

    fn answer(&self, to: &[ReplyTo]) {
        let parts = to.iter().filter_map(ReplyTo::parts);
        // What is left of another life in the queue is nobody's any more.
        self.tickets.tell(parts.filter(|(process, _)| *process == self.tickets.process()).map(|(_, number)| number));
    }
}
