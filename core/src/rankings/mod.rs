//! Adapters of the [`Rankings`](crate::ports::Rankings) port, and the messages every one of them publishes.

mod memory;
mod messages;

pub use memory::MemoryRankings;
