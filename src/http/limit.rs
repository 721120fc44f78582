//! Rate limits by governor: a bucket per subject for writes, one per address for everything.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use governor::clock::{Clock, QuantaClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use scorewire_core::domain::Subject;
use scorewire_core::settings::units::Rate;
use std::hash::Hash;

use super::problem::{Kind, Problem};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, QuantaClock, StateInformationMiddleware>;

/// One bucket per key.
struct Limiter<K: Clone + Eq + Hash> {
    name: &'static str,
    buckets: Buckets<K>,
    clock: QuantaClock,
    count: u32,
    per: Duration,
    policy: HeaderValue,
}

/// What is left of a bucket, as headers.
#[derive(Debug)]
pub(crate) struct Allowance {
    policy: HeaderValue,
    rest: HeaderValue,
}

impl Allowance {
    /// Adds `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT_POLICY, self.policy);
        headers.insert(RATE_LIMIT, self.rest);
    }
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    fn new(name: &'static str, rate: Rate) -> Option<Self> {
        let Rate::Limit { count, per } = rate else { return None };
        // A period shorter than one cell per nanosecond cell is refused by `Rate`'s parser (never zero).
        let quota = Quota::with_period(per / count.get())?.allow_burst(count);
        let seconds = per.as_secs_f64();
        Some(Self {
            name,
            buckets: RateLimiter::dashmap(quota).with_middleware(),
            clock: QuantaClock::default(),
            count: count.get(),
            per,
            policy: value(format!("\"{name}\";q={count};w={}", seconds.ceil())),
        })
    }

    fn check(&self, key: &K) -> Result<Allowance, Problem> {
        match self.buckets.check_key(key) {
            Ok(state) => {
                let rest = state.remaining_burst_capacity();
                // Time until the bucket is full again.
                let refill = self.per.mul_f64(f64::from(self.count - rest) / f64::from(self.count));
                let rest = value(format!("\"{}\";r={rest};t={}", self.name, refill.as_secs_f64().ceil()));
                Ok(Allowance { policy: self.policy.clone(), rest })
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let seconds = wait.as_secs_f64().ceil();
                Err(Problem::new(
                    Kind::RateLimited,
                    format!("at most {} {} per {}", self.count, self.name, humantime::format_duration(self.per)),
                )
                .retry_after(wait)
                .header(RATE_LIMIT_POLICY, self.policy.clone())
                .header(RATE_LIMIT, value(format!("\"{}\";r=0;t={seconds}", self.name))))
            }
        }
    }
}

fn value(text: String) -> HeaderValue {
    // Names and numbers only.
    HeaderValue::from_str(&text).unwrap_or_else(|_| unreachable!("digits and names are a header value"))
}

/// Both limits.
pub(crate) struct Limits {
    subjects: Option<Limiter<Subject>>,
    addresses: Option<Limiter<IpAddr>>,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    pub(crate) fn new(subject: Rate, ip: Rate) -> Self {
        Self { subjects: Limiter::new("writes", subject), addresses: Limiter::new("requests", ip) }
    }

    /// Counts a write of a subject.
    pub(crate) fn check_subject(&self, subject: &Subject) -> Result<Option<Allowance>, Problem> {
        self.subjects.as_ref().map(|limiter| limiter.check(subject)).transpose()
    }

    /// Counts a request of an address.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.as_ref().map_or(Ok(()), |limiter| limiter.check(&bucket(address)).map(|_| ()))
    }

    /// Forgets buckets that are full again.
    pub(crate) fn forget_idle(&self) {
        if let Some(limiter) = &self.subjects {
            limiter.buckets.retain_recent();
            limiter.buckets.shrink_to_fit();
        }
        if let Some(limiter) = &self.addresses {
            limiter.buckets.retain_recent();
            limiter.buckets.shrink_to_fit();
        }
    }
}

/// One household has one IPv4 address but 2^64 IPv6 addresses: those share a bucket.
fn bucket(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_says_when_to_come_back() {
        let limits = Limits::new("2/1m".parse().expect("valid"), Rate::Off);
        let ann = Subject::new("ann");
        let mut headers = HeaderMap::new();
        limits.check_subject(&ann).expect("first").expect("limited").write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"writes\";q=2;w=60");
        assert_eq!(headers["ratelimit"], "\"writes\";r=1;t=30");
        assert!(limits.check_subject(&ann).is_ok());
        let refused = limits.check_subject(&ann).expect_err("third");
        let response = refused.into_response("/", &scorewire_core::domain::RequestId::new("r"));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "30");
        assert!(limits.check_subject(&Subject::new("bob")).is_ok(), "everybody has a bucket of their own");
    }

    #[test]
    fn an_ipv6_network_shares_a_bucket() {
        let parse = |text: &str| bucket(text.parse().expect("valid"));
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }
}
