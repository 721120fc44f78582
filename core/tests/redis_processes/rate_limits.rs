//! Rate limits while Redis is away or does not answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use scorewire_core::domain::Subject;
use scorewire_core::ports::{BucketKey, Buckets, FailureKind, RateLimit, RateLimits, Taken};
use scorewire_core::rate_limits::{Patience, RedisRateLimits};
use scorewire_core::redis::RedisHandle;
use scorewire_core::settings::units::Failing;

use crate::redis_server::{DEADLINE, PrivateRedis};
use crate::{eventually, handle, through_proxy};

/// Longer than a check may take, and shorter than Redis's own time-outs.
const SOON: Duration = Duration::from_secs(3);
const COUNT: u32 = 10;

fn ann() -> BucketKey {
    BucketKey::Subject(Subject::new("ann"))
}

fn ten_an_hour(handle: RedisHandle, failing: Failing) -> Arc<dyn Buckets> {
    let limits = RedisRateLimits::new(handle, failing);
    let count = NonZeroU32::new(COUNT).expect("not zero");
    limits.buckets(RateLimit { name: "writes", count, per: Duration::from_secs(3_600) })
}

async fn allowed(buckets: &dyn Buckets) -> bool {
    let taken = tokio::time::timeout(SOON, buckets.take(&ann())).await.expect("an answer soon");
    matches!(taken.expect("open limits always answer"), Taken::Allowed { .. })
}

async fn unavailable(buckets: &dyn Buckets) -> bool {
    let taken = tokio::time::timeout(SOON, buckets.take(&ann())).await.expect("an answer soon");
    taken.is_err_and(|error| error.kind == FailureKind::Unavailable)
}

/// How many cells of one's own there are until a refusal.
async fn drain(buckets: &dyn Buckets) -> u32 {
    let mut cells = 0;
    while allowed(buckets).await {
        cells += 1;
    }
    cells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_limits_count_by_themselves_while_redis_says_nothing_and_share_again_afterwards() {
    let server = PrivateRedis::shared();
    let (proxy, far) = through_proxy(server.port, "open:").await;
    let buckets = ten_an_hour(far, Failing::Open);
    assert!(allowed(&*buckets).await);
    proxy.freeze();
    assert_eq!(drain(&*buckets).await, COUNT, "a full bucket of its own");
    // The dead connection is noticed and replaced; then the shared bucket counts, which has nine cells left.
    eventually("the shared bucket", async || allowed(&*buckets).await.then_some(())).await;
    assert_eq!(drain(&*buckets).await, COUNT - 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_limits_are_unavailable_while_redis_says_nothing() {
    let server = PrivateRedis::shared();
    let (proxy, far) = through_proxy(server.port, "closed:").await;
    let buckets = ten_an_hour(far, Failing::Closed);
    assert!(!unavailable(&*buckets).await);
    proxy.freeze();
    let crowd = (0..100).map(|_| unavailable(&*buckets));
    assert!(futures_util::future::join_all(crowd).await.into_iter().all(|refused| refused));
    eventually("Redis to be asked again", async || (!unavailable(&*buckets).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_costs_no_request() {
    let server = PrivateRedis::start();
    let buckets = ten_an_hour(handle(server.port, "killed:").await, Failing::Open);
    let other = ten_an_hour(handle(server.port, "killed:").await, Failing::Open);
    assert!(allowed(&*buckets).await);
    server.kill();
    assert_eq!(drain(&*buckets).await, COUNT);
    assert!(allowed(&*other).await, "every process counts by itself");
    server.restart();
    eventually("the shared bucket", async || allowed(&*buckets).await.then_some(())).await;
    assert_eq!(drain(&*buckets).await, COUNT - 2, "what was used before is remembered");
    eventually("both to share again", async || (!allowed(&*other).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_fills_the_buckets_and_a_request_that_went_away_loses_no_cell() {
    let server = PrivateRedis::start();
    let limits = RedisRateLimits::with_patience(
        handle(server.port, "emptied:").await,
        Failing::Closed,
        Patience { answer: DEADLINE, pause: DEADLINE },
    );
    let count = NonZeroU32::new(COUNT).expect("not zero");
    let buckets = limits.buckets(RateLimit { name: "writes", count, per: Duration::from_secs(3_600) });
    let mut used = 0;
    for _ in 0..5 {
        // Given up before Redis can have answered: its cell goes to the next, who may find it at once.
        let gone = tokio::time::timeout(Duration::ZERO, buckets.take(&ann())).await;
        used += u32::from(matches!(gone, Ok(Ok(Taken::Allowed { .. }))));
    }
    // The call of one that was given up may end, and hand its cell on, after others were refused.
    let taken = std::cell::Cell::new(used);
    eventually("every cell to be taken, once", async || {
        taken.set(taken.get() + drain(&*buckets).await);
        (taken.get() == COUNT).then_some(())
    })
    .await;
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut raw = client.get_multiplexed_async_connection().await.expect("Redis is there");
    redis::cmd("FLUSHALL").query_async::<()>(&mut raw).await.expect("emptied");
    eventually("the bucket to be full", async || allowed(&*buckets).await.then_some(())).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut raw).await.expect("keys");
    assert_eq!(keys, ["{emptied:l:writes:ann}"]);
    let life: i64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut raw).await.expect("a life");
    assert!((1..=3_600_000 / 10 * 2).contains(&life), "gone when it would be full: {life} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_bucket_asks_redis_seldom() {
    let server = PrivateRedis::start();
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut raw = client.get_multiplexed_async_connection().await.expect("Redis is there");
    let mut asked = async || {
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut raw).await.expect("statistics");
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0_u32)
    };
    let patience = Patience { answer: DEADLINE, pause: DEADLINE };
    let limits = RedisRateLimits::with_patience(handle(server.port, "busy:").await, Failing::Closed, patience);
    let limit = |name, count| RateLimit {
        name,
        count: NonZeroU32::new(count).expect("not zero"),
        per: Duration::from_secs(3_600),
    };
    // One after another: what is used up in time is taken in chunks of up to a hundredth.
    let buckets = limits.buckets(limit("one by one", 100_000));
    for _ in 0..5_000 {
        assert!(allowed(&*buckets).await);
    }
    let one_by_one = asked().await;
    assert!((10..100).contains(&one_by_one), "{one_by_one} calls for 5,000 cells");
    // All at once, with nothing taken ahead: who waits shares a call.
    let buckets = limits.buckets(limit("at once", 199));
    let ann = ann();
    let crowd = futures_util::future::join_all((0..1_000).map(|_| buckets.take(&ann))).await;
    let admitted = crowd.iter().filter(|taken| matches!(taken, Ok(Taken::Allowed { .. }))).count();
    assert_eq!(admitted, 199);
    let at_once = asked().await - one_by_one;
    assert!((1..50).contains(&at_once), "{at_once} calls for 1,000 requests");
}
