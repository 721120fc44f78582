//! What rate limits hold: a bucket's cells are handed out once, a refusal says when there is one again, and buckets
//! fill evenly.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scorewire_core::domain::Subject;
use scorewire_core::ports::{BucketKey, Buckets, RateLimit, RateLimits, Taken};

use super::{at_once, suite};
use crate::support::eventually;

const HOUR: Duration = Duration::from_secs(3_600);

/// A deployment's processes, which share buckets; one where an adapter keeps them to itself.
pub(super) type Processes = Vec<Arc<dyn RateLimits>>;

suite! {
    adapters {
        local: crate::contracts::adapters::local_rate_limits,
        redis: crate::contracts::adapters::redis_rate_limits,
    }
    rules {
        a_bucket_empties_and_then_refuses_until_there_is_a_cell_again,
        a_refusal_takes_nothing,
        everybody_has_a_bucket_of_their_own,
        limits_of_other_names_do_not_mix,
        crowds_in_every_process_get_exactly_what_the_bucket_holds,
        a_bucket_refills_evenly,
        a_bucket_that_fills_faster_than_it_is_used_never_refuses,
        forgetting_idle_buckets_fills_none,
    }
}

fn limit(name: &'static str, count: u32, per: Duration) -> RateLimit {
    RateLimit { name, count: NonZeroU32::new(count).expect("not zero"), per }
}

fn subject(name: &str) -> BucketKey {
    BucketKey::Subject(Subject::new(name))
}

async fn take(buckets: &dyn Buckets, key: &BucketKey) -> Taken {
    buckets.take(key).await.expect("available")
}

/// Takes cells until one is refused; says how many there were, and when to come back.
async fn drain(buckets: &dyn Buckets, key: &BucketKey) -> (u32, Duration) {
    let mut allowed = 0;
    loop {
        match take(buckets, key).await {
            Taken::Allowed { .. } => allowed += 1,
            Taken::Refused { retry_in } => return (allowed, retry_in),
        }
    }
}

/// Within a second below: time passes between two calls.
fn about(time: Duration, seconds: u64) -> bool {
    time <= Duration::from_secs(seconds) && time + Duration::from_secs(30) > Duration::from_secs(seconds)
}

async fn a_bucket_empties_and_then_refuses_until_there_is_a_cell_again(processes: &Processes) {
    let buckets = processes[0].buckets(limit("writes", 3, HOUR));
    let ann = subject("ann");
    for (left, seconds) in [(2, 1_200), (1, 2_400), (0, 3_600)] {
        let taken = take(&*buckets, &ann).await;
        let Taken::Allowed { remaining, full_in } = taken else { panic!("{taken:?}") };
        assert!(remaining == left && about(full_in, seconds), "{taken:?}");
    }
    let taken = take(&*buckets, &ann).await;
    let Taken::Refused { retry_in } = taken else { panic!("{taken:?}") };
    assert!(about(retry_in, 1_200), "{taken:?}");
}

async fn a_refusal_takes_nothing(processes: &Processes) {
    let buckets = processes[0].buckets(limit("writes", 2, HOUR));
    let ann = subject("ann");
    let (allowed, first) = drain(&*buckets, &ann).await;
    assert_eq!(allowed, 2);
    for _ in 0..50 {
        let taken = take(&*buckets, &ann).await;
        let Taken::Refused { retry_in } = taken else { panic!("{taken:?}") };
        assert!(retry_in <= first && about(retry_in, 1_800), "{taken:?}");
    }
}

async fn everybody_has_a_bucket_of_their_own(processes: &Processes) {
    let buckets = processes[0].buckets(limit("writes", 2, HOUR));
    let address = |text: &str| BucketKey::Address(text.parse::<IpAddr>().expect("an address"));
    let strange = ["ann", "anna", "ANN", "", " ", "{ann}", "}", "10.0.0.1", "a:b", "naïve 🦀", &"x".repeat(128)];
    let keys = strange.into_iter().map(subject).chain([address("10.0.0.2"), address("2001:db8::"), address("::1")]);
    for key in keys {
        assert_eq!(drain(&*buckets, &key).await.0, 2, "{key:?}");
    }
}

async fn limits_of_other_names_do_not_mix(processes: &Processes) {
    for (name, count) in [("writes", 2), ("requests", 5)] {
        let buckets = processes[0].buckets(limit(name, count, HOUR));
        assert_eq!(drain(&*buckets, &subject("ann")).await.0, count);
    }
}

async fn crowds_in_every_process_get_exactly_what_the_bucket_holds(processes: &Processes) {
    for count in [1, 7, 150, 1_000] {
        let key = subject(&format!("crowd of {count}"));
        let buckets: Vec<_> = processes.iter().map(|p| p.buckets(limit("writes", count, HOUR))).collect();
        let allowed = at_once(8, |n| {
            let (buckets, key) = (&buckets[n % buckets.len()], &key);
            async move {
                let crowds = (0..8).map(|_| drain(&**buckets, key));
                futures_util::future::join_all(crowds).await.iter().map(|(allowed, _)| allowed).sum::<u32>()
            }
        });
        assert_eq!(allowed.iter().sum::<u32>(), count, "{allowed:?}");
    }
}

async fn a_bucket_refills_evenly(processes: &Processes) {
    // A cell every 10 ms.
    let buckets = processes[0].buckets(limit("writes", 5, Duration::from_millis(50)));
    let ann = subject("ann");
    let began = Instant::now();
    let (mut allowed, mut refused) = (0, 0);
    while allowed < 40 {
        match take(&*buckets, &ann).await {
            Taken::Allowed { remaining, full_in } => {
                assert!(remaining < 5 && full_in <= Duration::from_millis(51), "{remaining} {full_in:?}");
                allowed += 1;
            }
            Taken::Refused { retry_in } => {
                assert!(retry_in <= Duration::from_millis(11), "{retry_in:?}");
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    // Two clocks need not agree to the last.
    assert!(began.elapsed() >= Duration::from_millis(340), "40 cells in {:?}", began.elapsed());
    assert!(refused > 0, "faster than it fills");
}

async fn a_bucket_that_fills_faster_than_it_is_used_never_refuses(processes: &Processes) {
    let buckets = processes[0].buckets(limit("writes", 1_000_000, Duration::from_millis(1)));
    for _ in 0..500 {
        assert!(matches!(take(&*buckets, &subject("ann")).await, Taken::Allowed { .. }));
    }
}

async fn forgetting_idle_buckets_fills_none(processes: &Processes) {
    let hours = processes[0].buckets(limit("hours", 2, HOUR));
    let moments = processes[0].buckets(limit("moments", 2, Duration::from_millis(20)));
    let ann = subject("ann");
    assert_eq!(drain(&*hours, &ann).await.0, 2);
    drain(&*moments, &ann).await;
    eventually("the bucket to fill", || async {
        moments.forget_idle();
        hours.forget_idle();
        matches!(take(&*moments, &ann).await, Taken::Allowed { .. }).then_some(())
    })
    .await;
    assert!(matches!(take(&*hours, &ann).await, Taken::Refused { .. }));
}
