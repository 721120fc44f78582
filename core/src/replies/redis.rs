//! Replies between processes: each listens to a channel of its own, and whoever decides publishes there.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::pipe;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::tickets::Tickets;
use crate::domain::ReplyTo;
use crate::ports::{PortError, Replies, Waiter};
use crate::redis::{Audience, RedisHandle, Subscription, Watch};

/// Answers that may wait to be published; beyond it they are dropped, which costs their waiters time only.
const UNSENT: usize = 65_536;
/// Answers that go to Redis in one round trip at most.
const AT_ONCE: usize = 4_096;

/// Replies between processes that share a Redis.
pub struct RedisReplies {
    tickets: Arc<Tickets>,
    unsent: mpsc::Sender<ReplyTo>,
    listening: JoinHandle<()>,
}

/// Hears the numbers of this process's tickets, separated by spaces.
struct Listener {
    tickets: Arc<Tickets>,
}

impl RedisReplies {
    /// Begins to listen: at most `limit` requests wait at a time, counted by `waiting`. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When Redis can not be reached; later losses of the connection are repaired in the background.
    pub async fn start(handle: RedisHandle, limit: usize, waiting: Gauge) -> Result<Self, PortError> {
        Self::start_with(handle, limit, waiting, Watch::default()).await
    }

    /// As [`start`](Self::start), with other timings of the listening connection.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        handle: RedisHandle,
        limit: usize,
        waiting: Gauge,
        watch: Watch,
    ) -> Result<Self, PortError> {
        let tickets = Arc::new(Tickets::new(limit, waiting));
        let channel = handle.reply_channel(tickets.process());
        let subscription = Subscription::new(handle.clone(), channel, "replies", watch);
        // Connected before the first ticket, so that its answer is heard.
        let first = subscription.open().await?;
        let listener = Listener { tickets: Arc::clone(&tickets) };
        let listening = tokio::spawn(async move { subscription.keep(first, &listener).await });
        let (unsent, answers) = mpsc::channel(UNSENT);
        tokio::spawn(publish(handle, answers));
        Ok(Self { tickets, unsent, listening })
    }
}

impl Replies for RedisReplies {
    fn expect(&self) -> Option<Waiter> {
        self.tickets.take()
    }

    fn answer(&self, to: &[ReplyTo]) {
        for reply_to in to {
            match reply_to.parts() {
                Some((process, number)) if process == self.tickets.process() => self.tickets.tell([number]),
                // Too many: Redis is slow or away, and these waiters look for themselves when their time is over.
                Some(_) => drop(self.unsent.try_send(reply_to.clone())),
                None => {}
            }
        }
    }
}

impl Drop for RedisReplies {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Audience for Listener {
    fn hear(&self, _: &str, payload: &[u8]) {
        let text = std::str::from_utf8(payload).unwrap_or_default();
        self.tickets.tell(text.split(' ').filter_map(|number| number.parse().ok()));
    }

    async fn attend(&self, repaired: bool) -> PortError {
        if repaired {
            self.tickets.tell_all();
        }
        std::future::pending().await
    }
}

/// Publishes what gathers while the round trip before is under way: one message per waiting process.
async fn publish(handle: RedisHandle, mut answers: mpsc::Receiver<ReplyTo>) {
    let mut batch = Vec::new();
    while answers.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut numbers: HashMap<&str, String> = HashMap::new();
        for (process, number) in batch.iter().filter_map(ReplyTo::parts) {
            let numbers = numbers.entry(process).or_default();
            if !numbers.is_empty() {
                numbers.push(' ');
            }
            numbers.push_str(&number.to_string());
        }
        let mut messages = pipe();
        for (process, numbers) in numbers {
            messages.publish(handle.reply_channel(process), numbers).ignore();
        }
        let sent = handle.call(|mut redis| async move { messages.query_async::<()>(&mut redis).await }).await;
        if let Err(error) = sent {
            tracing::warn!(%error, answers = batch.len(), "waiting requests could not be told and will look for themselves");
        }
        batch.clear();
    }
}
