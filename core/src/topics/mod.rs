//! Adapters of the [`Topics`](crate::ports::Topics) port.

mod memory;

pub use memory::MemoryTopics;
