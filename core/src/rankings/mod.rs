//! Adapters of the [`Rankings`](crate::ports::Rankings) port, and the messages every one of them publishes.

mod memory;
mod messages;
mod redis;

pub use self::redis::{RedisRankings, Superseded, Unbuilt};
pub use memory::MemoryRankings;
