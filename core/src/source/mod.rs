//! Adapters of the port [`Source`](crate::ports::Source).

mod http;
mod retry_after;

pub use http::{HttpSource, SourceLimits};
