//! Rate limits: a bucket per subject for writes, per address one for everything and one for new streams.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use scorewire_core::domain::Subject;
use scorewire_core::ports::{BucketKey, Buckets, RateLimit, RateLimits, Taken};
use scorewire_core::settings::units::Rate;

use super::problem::{Kind, Problem};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One limit and its buckets.
struct Limiter {
    limit: RateLimit,
    buckets: Arc<dyn Buckets>,
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

impl Limiter {
    fn new(limits: &dyn RateLimits, name: &'static str, rate: Rate) -> Option<Self> {
        let Rate::Limit { count, per } = rate else { return None };
        let limit = RateLimit { name, count, per };
        let policy = value(format!("\"{name}\";q={count};w={}", whole_seconds(per)));
        Some(Self { limit, buckets: limits.buckets(limit), policy })
    }

    async fn check(&self, key: &BucketKey) -> Result<Allowance, Problem> {
        let RateLimit { name, count, per } = self.limit;
        let rest = |left, until| value(format!("\"{name}\";r={left};t={}", whole_seconds(until)));
        match self.buckets.take(key).await? {
            Taken::Allowed { remaining, full_in } => {
                Ok(Allowance { policy: self.policy.clone(), rest: rest(remaining, full_in) })
            }
            Taken::Refused { retry_in } => Err(Problem::new(
                Kind::RateLimited,
                format!("at most {count} {name} per {}", humantime::format_duration(per)),
            )
            .retry_after(retry_in)
            .header(RATE_LIMIT_POLICY, self.policy.clone())
            .header(RATE_LIMIT, rest(0, retry_in))),
        }
    }
}

fn whole_seconds(time: Duration) -> f64 {
    time.as_secs_f64().ceil()
}

fn value(text: String) -> HeaderValue {
    // Names and numbers only.
    HeaderValue::from_str(&text).unwrap_or_else(|_| unreachable!("digits and names are a header value"))
}

/// All limits.
pub(crate) struct Limits {
    subjects: Option<Limiter>,
    addresses: Option<Limiter>,
    streams: Option<Limiter>,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    pub(crate) fn new(limits: &dyn RateLimits, subject: Rate, ip: Rate, streams: Rate) -> Self {
        Self {
            subjects: Limiter::new(limits, "writes", subject),
            addresses: Limiter::new(limits, "requests", ip),
            streams: Limiter::new(limits, "streams", streams),
        }
    }

    /// Counts a write of a subject.
    pub(crate) async fn check_subject(&self, subject: &Subject) -> Result<Option<Allowance>, Problem> {
        match &self.subjects {
            Some(limiter) => limiter.check(&BucketKey::Subject(subject.clone())).await.map(Some),
            None => Ok(None),
        }
    }

    /// Counts a request of an address.
    pub(crate) async fn check_address(&self, address: IpAddr) -> Result<(), Problem> {
        match &self.addresses {
            Some(limiter) => limiter.check(&BucketKey::Address(network(address))).await.map(drop),
            None => Ok(()),
        }
    }

    /// Counts a new stream of an address; how long it must wait, where there were too many.
    pub(crate) async fn check_stream(&self, address: IpAddr) -> Result<Option<Duration>, Problem> {
        let Some(limiter) = &self.streams else { return Ok(None) };
        match limiter.buckets.take(&BucketKey::Address(network(address))).await? {
            Taken::Allowed { .. } => Ok(None),
            Taken::Refused { retry_in } => Ok(Some(retry_in)),
        }
    }

    /// Forgets buckets that are full again.
    pub(crate) fn forget_idle(&self) {
        [&self.subjects, &self.addresses, &self.streams]
            .into_iter()
            .flatten()
            .for_each(|limiter| limiter.buckets.forget_idle());
    }
}

/// One household has one IPv4 address but 2^64 IPv6 addresses: those share a bucket.
fn network(address: IpAddr) -> IpAddr {
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
    use async_trait::async_trait;
    use scorewire_core::domain::RequestId;
    use scorewire_core::ports::{FailureKind, PortError};
    use scorewire_core::rate_limits::LocalRateLimits;

    #[tokio::test]
    async fn a_bucket_empties_and_says_when_to_come_back() {
        let limits = Limits::new(&LocalRateLimits, "2/1m".parse().expect("valid"), Rate::Off, Rate::Off);
        let ann = Subject::new("ann");
        let mut headers = HeaderMap::new();
        limits.check_subject(&ann).await.expect("first").expect("limited").write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"writes\";q=2;w=60");
        assert_eq!(headers["ratelimit"], "\"writes\";r=1;t=30");
        assert!(limits.check_subject(&ann).await.is_ok());
        let refused = limits.check_subject(&ann).await.expect_err("third");
        let response = refused.into_response("/", &RequestId::new("r"));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "30");
        assert!(limits.check_subject(&Subject::new("bob")).await.is_ok(), "everybody has a bucket of their own");
    }

    #[tokio::test]
    async fn new_streams_of_an_address_are_counted_and_told_how_long_to_wait() {
        let limits = Limits::new(&LocalRateLimits, Rate::Off, Rate::Off, "2/1m".parse().expect("valid"));
        let address = IpAddr::from([10, 0, 0, 1]);
        for expected in [None, None, Some(30)] {
            let wait = limits.check_stream(address).await.expect("checked");
            assert_eq!(wait.map(|wait| wait.as_secs_f64().ceil() as u64), expected);
        }
        let lifted = Limits::new(&LocalRateLimits, Rate::Off, Rate::Off, Rate::Off);
        assert_eq!(lifted.check_stream(address).await.expect("no limit"), None);
    }

    #[test]
    fn an_ipv6_network_shares_a_bucket() {
        let parse = |text: &str| network(text.parse().expect("valid"));
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }

    /// A store that is gone.
    struct Gone;

    impl RateLimits for Gone {
        fn buckets(&self, _: RateLimit) -> Arc<dyn Buckets> {
            Arc::new(Self)
        }
    }

    #[async_trait]
    impl Buckets for Gone {
        async fn take(&self, _: &BucketKey) -> Result<Taken, PortError> {
            Err(PortError::new("check a rate limit", FailureKind::Unavailable, "gone"))
        }

        fn forget_idle(&self) {}
    }

    #[tokio::test]
    async fn a_limit_that_can_not_be_checked_is_unavailable_for_now() {
        let limits = Limits::new(&Gone, Rate::Off, "2/1m".parse().expect("valid"), Rate::Off);
        let refused = limits.check_address(IpAddr::from([10, 0, 0, 1])).await.expect_err("unavailable");
        let response = refused.into_response("/", &RequestId::new("r"));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
    }
}
