//! The requests that wait in this process, by the numbers of their tickets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::domain::ReplyTo;
use crate::ports::Waiter;

/// Tickets given out and not given back.
pub(super) struct Tickets {
    /// Names this life of the process: a ticket of an earlier one is nobody's.
    process: String,
    limit: usize,
    waiting: Gauge,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    waiters: HashMap<u64, Arc<Notify>>,
}

/// A waiter's place; given back when dropped.
struct Place {
    tickets: Arc<Tickets>,
    number: u64,
}

impl Tickets {
    /// At most `limit` at a time, counted by `waiting`.
    pub(super) fn new(limit: usize, waiting: Gauge) -> Self {
        Self { process: format!("{:016x}", rand::random::<u64>()), limit, waiting, open: Mutex::default() }
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// A new waiter; `None` when as many wait as may.
    pub(super) fn take(self: &Arc<Self>) -> Option<Waiter> {
        let told = Arc::new(Notify::new());
        let mut open = self.lock();
        if open.waiters.len() >= self.limit {
            return None;
        }
        let number = open.next;
        open.next += 1;
        open.waiters.insert(number, Arc::clone(&told));
        drop(open);
        self.waiting.inc();
        let place = Place { tickets: Arc::clone(self), number };
        Some(Waiter::new(ReplyTo::new(&self.process, number), told, place))
    }

    /// Tells the waiters with these numbers; one that is gone needs no telling.
    pub(super) fn tell(&self, numbers: impl IntoIterator<Item = u64>) {
        let open = self.lock();
        for told in numbers.into_iter().filter_map(|number| open.waiters.get(&number)) {
            // Kept for a waiter that does not listen yet.
            told.notify_one();
        }
    }

    /// Tells every waiter: answers may have been lost.
    pub(super) fn tell_all(&self) {
        self.lock().waiters.values().for_each(|told| told.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tickets.lock().waiters.remove(&self.number);
        self.tickets.waiting.dec();
    }
}
