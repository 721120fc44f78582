//! Rate limits that every process on one Redis shares.
//!
//! A bucket is one key that a script reads and writes on Redis's clock. So that a busy bucket does not cost a round
//! trip per request, requests that come while one is under way share the next, and a process whose cells were used
//! up in time takes more than it needs right now: up to a hundredth of a full bucket. Cells it does not use lapse.
//! All processes together never admit more than the limit; each may hold up to a hundredth of it back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::Script;
use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::breaker::Breaker;
use super::held::{Grant, Held};
use super::local::LocalBuckets;
use crate::ports::{BucketKey, Buckets, FailureKind, PortError, RateLimit, RateLimits, Taken};
use crate::redis::{RedisHandle, corrupt};
use crate::settings::units::Failing;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
const OPERATION: &str = "check a rate limit";

/// How long requests wait for a Redis that does not answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one answer; by default 250 ms.
    pub answer: Duration,
    /// Before Redis is asked again after it did not answer; by default 1 s.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Duration::from_millis(250), pause: Duration::from_secs(1) }
    }
}

/// Redis can not be asked, or did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("Redis does not answer")]
struct Unanswered;

/// Limits in Redis.
pub struct RedisRateLimits {
    handle: RedisHandle,
    failing: Failing,
    patience: Patience,
    breaker: Arc<Breaker>,
}

/// The buckets of one limit.
struct RedisBuckets {
    shared: Arc<Shared>,
    /// What counts while Redis does not answer; `None` to refuse then.
    instead: Option<LocalBuckets>,
    buckets: Mutex<HashMap<BucketKey, Arc<Bucket>>>,
}

/// What asking needs.
struct Shared {
    handle: RedisHandle,
    limit: RateLimit,
    patience: Patience,
    breaker: Arc<Breaker>,
}

struct Bucket {
    key: String,
    state: Mutex<State>,
}

struct State {
    held: Held,
    waiting: VecDeque<oneshot::Sender<Taken>>,
    /// A task asks for all that wait.
    asking: bool,
}

impl RedisRateLimits {
    /// Limits in this Redis. While it can not be asked, `failing` says what happens: open, each process limits by
    /// itself; closed, taking a cell is unavailable.
    #[must_use]
    pub fn new(handle: RedisHandle, failing: Failing) -> Self {
        Self::with_patience(handle, failing, Patience::default())
    }

    /// As [`new`](Self::new), with another patience.
    #[must_use]
    pub fn with_patience(handle: RedisHandle, failing: Failing, patience: Patience) -> Self {
        Self { handle, failing, patience, breaker: Arc::new(Breaker::new(patience.pause)) }
    }
}

impl RateLimits for RedisRateLimits {
    fn buckets(&self, limit: RateLimit) -> Arc<dyn Buckets> {
        let (handle, breaker) = (self.handle.clone(), Arc::clone(&self.breaker));
        Arc::new(RedisBuckets {
            shared: Arc::new(Shared { handle, limit, patience: self.patience, breaker }),
            instead: (self.failing == Failing::Open).then(|| LocalBuckets::new(limit)),
            buckets: Mutex::default(),
        })
    }
}

#[async_trait]
impl Buckets for RedisBuckets {
    async fn take(&self, key: &BucketKey) -> Result<Taken, PortError> {
        let bucket = self.bucket(key);
        match (self.shared.take(&bucket).await, &self.instead) {
            (Ok(taken), _) => Ok(taken),
            (Err(Unanswered), Some(local)) => Ok(local.take_now(key)),
            (Err(unanswered), None) => Err(PortError::new(OPERATION, FailureKind::Unavailable, unanswered)),
        }
    }

    fn forget_idle(&self) {
        let now = Instant::now();
        let mut buckets = lock(&self.buckets);
        buckets.retain(|_, bucket| {
            let state = bucket.lock();
            Arc::strong_count(bucket) > 1 || state.asking || !state.held.is_idle(now)
        });
        buckets.shrink_to_fit();
        if let Some(local) = &self.instead {
            local.forget_idle();
        }
    }
}

impl RedisBuckets {
    fn bucket(&self, key: &BucketKey) -> Arc<Bucket> {
        let mut buckets = lock(&self.buckets);
        if let Some(bucket) = buckets.get(key) {
            return Arc::clone(bucket);
        }
        let limit = &self.shared.limit;
        let state = State { held: Held::new(limit, Instant::now()), waiting: VecDeque::new(), asking: false };
        let key_in_redis = self.shared.handle.bucket_key(limit.name, key);
        let bucket = Arc::new(Bucket { key: key_in_redis, state: Mutex::new(state) });
        buckets.insert(key.clone(), Arc::clone(&bucket));
        bucket
    }
}

impl Shared {
    async fn take(self: &Arc<Self>, bucket: &Arc<Bucket>) -> Result<Taken, Unanswered> {
        let answer = {
            let mut state = bucket.lock();
            if let Some(taken) = state.held.take(Instant::now()) {
                return Ok(taken);
            }
            let joins = state.asking && !self.breaker.is_open();
            if !joins && (state.asking || !self.breaker.permits()) {
                return Err(Unanswered);
            }
            let (sender, answer) = oneshot::channel();
            state.waiting.push_back(sender);
            if !std::mem::replace(&mut state.asking, true) {
                // A task of its own: neither a request that goes away nor an impatient one may cut the call off,
                // whose own time limit is what tells the connection that it is broken.
                tokio::spawn(Arc::clone(self).ask_for_all(Arc::clone(bucket)));
            }
            answer
        };
        match timeout(self.patience.answer, answer).await {
            Ok(answer) => answer.map_err(|_| Unanswered),
            Err(_) => {
                self.failed(&Unanswered);
                Err(Unanswered)
            }
        }
    }

    /// Asks until nobody waits at this bucket any more.
    async fn ask_for_all(self: Arc<Self>, bucket: Arc<Bucket>) {
        loop {
            let want = {
                let mut state = bucket.lock();
                let waiting = u32::try_from(state.waiting.len()).unwrap_or(u32::MAX);
                state.held.want(waiting, Instant::now())
            };
            let grant = self.ask(&bucket.key, want).await;
            let mut state = bucket.lock();
            match grant {
                Ok(grant) => {
                    if self.breaker.close() {
                        tracing::info!("rate limits are shared again");
                    }
                    state.held.granted(grant, Instant::now());
                    state.serve();
                }
                Err(error) => {
                    self.failed(&error);
                    // Dropping them tells them.
                    state.waiting.clear();
                }
            }
            if state.waiting.is_empty() {
                state.asking = false;
                return;
            }
        }
    }

    async fn ask(&self, key: &str, want: u32) -> Result<Grant, PortError> {
        let period_us = self.limit.per.as_micros().max(1);
        let arguments = [u128::from(want), u128::from(self.limit.count.get()), period_us].map(|n| n.to_string());
        let reply = self.handle.run(OPERATION, &TAKE, &[key], &arguments).await?;
        let numbers: Option<Vec<u64>> = reply.iter().map(|number| number.parse().ok()).collect();
        let grant = match numbers.as_deref() {
            Some(&[cells, left, wait, full_in]) => {
                u32::try_from(cells).ok().zip(u32::try_from(left).ok()).map(|(cells, left)| Grant {
                    cells,
                    left,
                    wait: Duration::from_micros(wait),
                    full_in: Duration::from_micros(full_in),
                })
            }
            _ => None,
        };
        grant.ok_or_else(|| corrupt(OPERATION, "bucket"))
    }

    fn failed(&self, error: &dyn std::error::Error) {
        if self.breaker.open() {
            tracing::warn!(%error, "rate limits can not be shared for now");
        }
    }
}

impl State {
    /// Hands out what is held to those who wait.
    fn serve(&mut self) {
        while !self.waiting.is_empty() {
            let Some(taken) = self.held.take(Instant::now()) else { return };
            let sent = self.waiting.pop_front().map(|waiting| waiting.send(taken));
            if matches!(sent, Some(Err(Taken::Allowed { .. }))) {
                self.held.give_back();
            }
        }
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
