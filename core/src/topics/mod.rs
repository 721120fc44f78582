//! Adapters of the [`Topics`](crate::ports::Topics) port.

mod listener;
mod memory;
mod redis;

use crate::domain::Epoch;

pub use self::redis::RedisTopics;
pub(crate) use self::redis::split_position;
pub use listener::Timings;
pub use memory::MemoryTopics;

/// 64 random bits in base 16: two lives of a topic do not meet under one name.
fn random_epoch() -> Epoch {
    let text = format!("{:016x}", rand::random::<u64>());
    Epoch::parse(&text).unwrap_or_else(|_| unreachable!("sixteen hexadecimal digits are an epoch"))
}
