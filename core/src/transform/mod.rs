//! Filters in the jq language (by the jaq crates), and where they run.
//!
//! - `program`: parses filters at the start and says where they are wrong
//! - `task`: what filters make of an answer; runs in a process of its own
//! - `process`: starts that process, feeds it and kills it at the deadline

mod process;
mod program;
mod task;

pub use process::{TransformLimits, Transformer, is_task};
pub use program::{Filters, ProgramError};
pub use task::{Transformed, run_task};
