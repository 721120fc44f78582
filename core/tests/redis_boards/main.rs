//! Rankings and topics on Redis: what their ports promise, held by the adapters in memory and on Redis alike, and
//! what only a server that can be lost brings with it.

#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it expects")]

#[path = "../support/redis.rs"]
mod redis_server;

#[path = "../support/proxy.rs"]
mod proxy;

mod adapters;
mod faults;
mod listening;
mod rankings;
mod surviving;
mod topics;
