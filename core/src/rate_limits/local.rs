//! Rate limits within one process, by governor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use governor::clock::{Clock, QuantaClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::ports::{BucketKey, Buckets, PortError, RateLimit, RateLimits, Taken};

type Cells = RateLimiter<BucketKey, DashMapStateStore<BucketKey>, QuantaClock, StateInformationMiddleware>;

/// Buckets of this process alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalRateLimits;

/// The buckets of one limit in this process.
pub(super) struct LocalBuckets {
    limit: RateLimit,
    cells: Cells,
    clock: QuantaClock,
}

impl LocalBuckets {
    pub(super) fn new(limit: RateLimit) -> Self {
        // governor counts whole nanoseconds for a cell.
        let cell = (limit.per / limit.count.get()).max(Duration::from_nanos(1));
        let quota =
            Quota::with_period(cell).map_or_else(|| Quota::per_second(limit.count), |q| q.allow_burst(limit.count));
        Self { limit, cells: RateLimiter::dashmap(quota).with_middleware(), clock: QuantaClock::default() }
    }

    pub(super) fn take_now(&self, key: &BucketKey) -> Taken {
        match self.cells.check_key(key) {
            Ok(state) => {
                let (count, remaining) = (self.limit.count.get(), state.remaining_burst_capacity());
                let full_in = self.limit.per.mul_f64(f64::from(count - remaining) / f64::from(count));
                Taken::Allowed { remaining, full_in }
            }
            Err(not_until) => Taken::Refused { retry_in: not_until.wait_time_from(self.clock.now()) },
        }
    }
}

impl RateLimits for LocalRateLimits {
    fn buckets(&self, limit: RateLimit) -> Arc<dyn Buckets> {
        Arc::new(LocalBuckets::new(limit))
    }
}

#[async_trait]
impl Buckets for LocalBuckets {
    async fn take(&self, key: &BucketKey) -> Result<Taken, PortError> {
        Ok(self.take_now(key))
    }

    fn forget_idle(&self) {
        self.cells.retain_recent();
        self.cells.shrink_to_fit();
    }
}
