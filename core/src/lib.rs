//! Scorewire's core: the domain, what it needs from outside, and the adapters that provide it.
//!
//! - [`domain`]: nouns and rules, no IO, no clock
//! - [`ports`]: traits with their obligations
//! - [`ledger`], [`queue`], [`rankings`], [`topics`]: adapters, each folder one port
//! - [`redis`]: what the adapters on Redis share
//! - [`acceptance`]: gathers concurrent requests into one durable write
//! - [`dead_letters`]: retries and discards work that was given up on
//! - [`registration`]: creates users
//! - [`data_dir`]: the embedded deployment's directory and its lock
//! - [`settings`]: every knob, with default and unit
//! - [`metrics`]: what the server counts
//! - [`wiring`]: chooses adapters by URL

pub mod acceptance;
pub mod data_dir;
pub mod dead_letters;
pub mod domain;
pub mod ledger;
pub mod metrics;
pub mod ports;
pub mod queue;
pub mod rankings;
pub mod redis;
pub mod registration;
pub mod settings;
pub mod sqlite;
pub mod topics;
pub mod wiring;
