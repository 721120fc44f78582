//! Scorewire: a durable real-time scoreboard server.
//!
//! - [`cli`]: the command line
//! - [`server`]: a running server and the order in which it ends
//! - [`http`]: the API; the route table is its index
//! - `live`: viewers and the hub that serves them
//! - `listener`: connections; `tls`: encrypted ones
//!
//! What is durable lives in the crates `scorewire-workers` and `scorewire-core`.

pub mod cli;
pub mod http;
mod listener;
mod live;
pub mod server;
mod tls;
