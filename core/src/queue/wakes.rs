//! What wakes an apalis worker, so that it never sleeps with nothing to wake it.
//!
//! apalis polls the stream of wakes once for each look at the queue. A look that finds nothing returns without arming
//! anything of its own: the stream that just yielded is not polled again, and a heartbeat that came due while the queue was
//! asked was already spent. A worker was found asleep for good that way.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::MissedTickBehavior;

/// The same wakes and a regular one, each of which has the worker come back once more: by then the stream is polled until
/// it has nothing, which arms it.
pub(super) fn armed(wakes: impl Stream<Item = ()> + Send + 'static, every: Duration) -> BoxStream<'static, ()> {
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beats = stream::unfold(beat, |mut beat| async move {
        beat.tick().await;
        Some(((), beat))
    });
    let mut either = Box::pin(stream::select(wakes, beats));
    stream::poll_fn(move |cx| {
        let wake = either.poll_next_unpin(cx);
        if wake.is_ready() {
            cx.waker().wake_by_ref();
        }
        wake
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn whoever_takes_a_wake_and_looks_away_is_woken_again() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut wakes = armed(stream::iter([()]).chain(stream::pending()), Duration::from_secs(3_600));
        let mut taken = 0;
        while wakes.poll_next_unpin(&mut cx).is_ready() {
            taken += 1;
            assert_eq!(woken.0.load(Ordering::Relaxed), taken, "it comes back after each");
        }
        assert!(taken >= 1, "the wake, and the beat's first tick if that was due");
    }

    #[tokio::test]
    async fn silence_is_broken_by_the_beat() {
        let mut wakes = armed(stream::pending(), Duration::from_millis(1));
        for _ in 0..3 {
            let next = tokio::time::timeout(Duration::from_secs(30), wakes.next());
            assert_eq!(next.await, Ok(Some(())));
        }
    }
}
