//! The schedule of feeds: queues a fetch of each on its beat. One process does it for all, and another takes over
//! within half of the shortest beat when that one is gone.
//!
//! A tick is the span of its beat: it is fired at most once, by whoever comes first, however many believe they lead;
//! a fetch that finds its tick over is skipped, since the next one is fresher.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use scorewire_core::domain::{FeedName, Micros};
use scorewire_core::feed_metrics::Skipped;
use scorewire_core::ports::{Enqueued, JobKind, NewJob, PortError};
use scorewire_core::queue::FetchPayload;
use scorewire_core::settings::Feed;
use scorewire_core::wiring::Wiring;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

const LEASE: &str = "feed-schedule";
const SHORTEST_LEASE: Duration = Duration::from_millis(300);
const LONGEST_LEASE: Duration = Duration::from_secs(5);

/// Runs until shutdown.
pub async fn run(wiring: Wiring, shutdown: CancellationToken) {
    let Some(shortest) = wiring.feeds.iter().map(|feed| feed.fetch_every).min() else { return };
    let lease_time = (shortest / 2).clamp(SHORTEST_LEASE, LONGEST_LEASE);
    let mut schedule = Schedule { wiring, lease_time, fired: HashMap::new(), troubled: false };
    loop {
        let wake = schedule.turn().await;
        tokio::select! {
            () = sleep_until(wake) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // The next process need not wait for the lease to run out; if it can not be told, it will.
    let _ = schedule.wiring.leases.release(LEASE).await;
}

struct Schedule {
    wiring: Wiring,
    lease_time: Duration,
    /// The newest tick of each feed that is known to be fired; empty while another process leads.
    fired: HashMap<FeedName, Micros>,
    troubled: bool,
}

impl Schedule {
    /// Renews the lease, fires what is due, and says when to come again.
    async fn turn(&mut self) -> Instant {
        let began = Instant::now();
        let fired = match self.wiring.leases.hold(LEASE, self.lease_time).await {
            Ok(true) => self.fire().await.map(|()| true),
            Ok(false) => {
                self.fired.clear();
                Ok(false)
            }
            Err(error) => Err(error),
        };
        let leads = matches!(fired, Ok(true));
        match fired {
            Ok(_) => self.troubled = false,
            Err(error) if !self.troubled => {
                tracing::warn!(%error, "feeds can not be scheduled now, and will be later");
                self.troubled = true;
            }
            Err(_) => {}
        }
        let renewal = began + self.lease_time / 3;
        if leads { self.next_tick().min(renewal) } else { renewal }
    }

    /// Queues a fetch of every feed whose tick was not fired yet. Which those are the queue knows, whoever led before.
    async fn fire(&mut self) -> Result<(), PortError> {
        let now = self.wiring.clock.now();
        let ticks = self.wiring.feeds.iter().map(|feed| (feed, tick(&feed.name, feed.fetch_every, now)));
        let due: Vec<_> = ticks.filter(|(feed, tick)| self.fired.get(&feed.name) != Some(tick)).collect();
        let fired = join_all(due.iter().map(|(feed, tick)| fire(&self.wiring, feed, *tick))).await;
        for ((feed, tick), fired) in due.into_iter().zip(&fired) {
            if fired.is_ok() {
                self.fired.insert(feed.name.clone(), tick);
            }
        }
        fired.into_iter().collect()
    }

    fn next_tick(&self) -> Instant {
        let now = self.wiring.clock.now();
        let left = |feed: &Feed| tick(&feed.name, feed.fetch_every, now).plus(feed.fetch_every).since(now);
        Instant::now() + self.wiring.feeds.iter().map(left).min().unwrap_or(self.lease_time)
    }
}

async fn fire(wiring: &Wiring, feed: &Feed, tick: Micros) -> Result<(), PortError> {
    let end = tick.plus(feed.fetch_every);
    // A little before the next tick, which would else find the claim of a dead process by a hair.
    let claim_until = tick.plus(feed.fetch_every.mul_f64(0.9));
    let job = NewJob {
        kind: JobKind::Fetch,
        claim: feed.name.to_string(),
        payload: FetchPayload::new(feed.name.clone(), Some(end), None).encode(),
        claim_until,
        slot: Some(tick),
        replaces: false,
    };
    if let Enqueued::Claimed(by) = wiring.unique_jobs.enqueue(job).await? {
        tracing::debug!(feed = %feed.name, job = %by, "a tick is skipped: an earlier fetch has not ended");
        wiring.metrics.feeds.skipped(&feed.name, Skipped::Overlap);
    }
    Ok(())
}

/// When the tick began that an instant falls into. Feeds of one beat are spread over it by their names.
fn tick(feed: &FeedName, every: Duration, now: Micros) -> Micros {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    // FNV-1a: the same in all processes and releases.
    let hash = feed
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let phase = i64::try_from(hash % every.unsigned_abs()).unwrap_or_default();
    Micros(now.0 - (now.0 - phase).rem_euclid(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_covers_its_beat_and_the_next_begins_where_it_ends() {
        for name in ["match", "btc-usd", "a"] {
            let feed = FeedName::parse(name).expect("a name");
            let every = Duration::from_millis(700);
            let first = tick(&feed, every, Micros(1_700_000_000_123_456));
            assert!(first.0 <= 1_700_000_000_123_456 && first.0 > 1_700_000_000_123_456 - 700_000);
            assert_eq!(tick(&feed, every, Micros(first.0 + 699_999)), first);
            assert_eq!(tick(&feed, every, Micros(first.0 + 700_000)), Micros(first.0 + 700_000));
            assert_eq!(tick(&feed, every, Micros(first.0 - 1)), Micros(first.0 - 700_000));
        }
    }

    #[test]
    fn feeds_of_one_beat_are_not_asked_all_at_once() {
        let at = |name: &str| {
            let feed = FeedName::parse(name).expect("a name");
            tick(&feed, Duration::from_secs(10), Micros(1_700_000_000_000_000)).0.rem_euclid(10_000_000)
        };
        let phases: std::collections::HashSet<_> = (0..10).map(|n| at(&format!("feed-{n}")) / 1_000_000).collect();
        assert!(phases.len() > 3, "{phases:?}");
    }
}
