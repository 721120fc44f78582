//! Adapters of the [`Replies`](crate::ports::Replies) port.

mod memory;
mod redis;
mod tickets;

pub use self::redis::RedisReplies;
pub use memory::MemoryReplies;
