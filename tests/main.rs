//! Black-box tests, one binary: it links once, and what it shares is written once.
//!
//! - `api`: requests and answers, by URL
//! - `live`: what viewers see
//! - `faults`: crashes, full disks, damaged files, poison
//! - `cli`: the command line
//! - `feeds`: sources, their faults, and what becomes of their answers
//! - `clients`: other people's client libraries, with `make clients`
//! - `fleet`: many processes on Redis and PostgreSQL, all of which are killed
//! - `contracts`: one suite per port, over every adapter
//! - `browser`: the pages in a real browser
//! - `doctor`: unsafe servers and files, and what the command says of them
//! - `replay`: a recorded match through the `replay` command
//! - `house_rules`: what a compiler can not check

#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it expects")]

mod api;
mod browser;
mod cli;
mod clients;
mod contracts;
mod doctor;
mod faults;
mod feeds;
mod fleet;
mod house_rules;
mod live;
#[path = "../core/tests/support/postgres.rs"]
mod postgres_server;
#[path = "../core/tests/support/proxy.rs"]
mod proxy;
#[path = "../core/tests/support/redis.rs"]
mod redis_server;
mod replay;
mod support;
