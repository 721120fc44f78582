//! Answers over HTTP/2 that their client does not take.
//!
//! The connection of such a client takes bytes well: it is the stream's window that stays shut, and then nobody asks
//! the answer's body for more. So the body notes when it handed something over and was not asked again since. What
//! fits the window in part counts as taken (h2 keeps the rest): then the next message or heartbeat shows it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// What was handed over on one connection and is not taken yet: when, by the number of the answer.
#[derive(Default)]
pub(super) struct Handed {
    since: Mutex<(u64, HashMap<u64, Instant>)>,
}

impl Handed {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Instant>)> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when something has not been taken for so long, or somewhat longer.
    pub(super) async fn too_long(&self, longest: Duration) {
        let is_late = |since: &Instant| since.elapsed() >= longest;
        while !self.lock().1.values().any(is_late) {
            sleep(longest / 4).await;
        }
    }
}

/// An answer's body whose client is watched, where it has `handed`.
pub(super) struct Watched<B> {
    body: B,
    handed: Option<(Arc<Handed>, u64)>,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, handed: Option<&Arc<Handed>>) -> Self {
        let handed = handed.map(|handed| {
            let number = &mut handed.lock().0;
            *number += 1;
            (Arc::clone(handed), *number)
        });
        Self { body, handed }
    }

    fn taken(&self) {
        if let Some((handed, number)) = &self.handed {
            handed.lock().1.remove(number);
        }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.taken();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Poll::Ready(Some(Ok(_))), Some((handed, number))) = (&polled, &self.handed) {
            handed.lock().1.insert(*number, Instant::now());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.taken();
    }
}
