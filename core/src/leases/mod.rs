//! Adapters of the [`Leases`](crate::ports::Leases) port.

mod redis;
mod sole;

pub use self::redis::RedisLeases;
pub use sole::SoleProcess;
