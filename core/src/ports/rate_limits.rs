//! Rate limits: a bucket per subject or address that empties with use and refills evenly.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::domain::Subject;

/// A limit: a full bucket holds `count` cells and refills evenly over `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What is limited, e.g. `writes`: limits of other names have buckets of their own.
    pub name: &'static str,
    /// Cells of a full bucket.
    pub count: NonZeroU32,
    /// The time in which an empty bucket becomes full.
    pub per: Duration,
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BucketKey {
    /// Who sends, by token.
    Subject(Subject),
    /// Where it comes from.
    Address(IpAddr),
}

/// What came of asking for a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There was one.
    Allowed {
        /// Cells left.
        remaining: u32,
        /// Time until the bucket is full again.
        full_in: Duration,
    },
    /// The bucket is empty; nothing was taken.
    Refused {
        /// Time until there is a cell again.
        retry_in: Duration,
    },
}

/// The buckets of every limit.
///
/// Obligations: no more cells are handed out of a bucket than it held and was refilled with, whoever asks and
/// however many at once; a refusal takes nothing and says when a cell is there again; a bucket that was never used
/// is full. Adapters that share a store share buckets, and may then refuse somewhat early: a process may hold up to
/// a hundredth of a bucket's cells for requests to come.
pub trait RateLimits: Send + Sync {
    /// The buckets of one limit.
    fn buckets(&self, limit: RateLimit) -> Arc<dyn Buckets>;
}

/// The buckets of one limit.
#[async_trait]
pub trait Buckets: Send + Sync {
    /// Takes a cell out of a bucket.
    async fn take(&self, key: &BucketKey) -> Result<Taken, PortError>;
    /// Forgets buckets that are full again; call now and then.
    fn forget_idle(&self);
}
