//! Scorewire's core: the domain, what it needs from outside, and the adapters that provide it.
//!
//! - [`domain`]: nouns and rules, no IO, no clock
//! - [`ports`]: traits with their obligations
//! - [`ledger`], [`queue`], [`rankings`], [`topics`], [`leases`], [`replies`], [`rate_limits`], [`feeds`],
//!   [`source`]: adapters, each folder
//!   one port
//! - [`redis`]: what the adapters on Redis share
//! - [`acceptance`]: gathers concurrent requests into one durable write
//! - [`dead_letters`]: retries and discards work that was given up on
//! - [`board_reader`]: reads boards for a crowd, and remembers the last answer
//! - [`feed_reader`], [`transform`]: fetches a feed once; runs its filters in a process of their own
//! - [`feed_shelf`]: reads feeds for those who watch, and remembers the last answer
//! - [`feed_status`]: whether a feed's value can be relied on
//! - [`rebuild`]: fills rankings from the ledger, finds and mends where they drifted
//! - [`queue_watch`]: samples how full the queue is
//! - [`registration`]: creates users
//! - [`data_dir`]: the embedded deployment's directory and its lock
//! - [`doctor`]: names settings of servers and files that can lose what was accepted
//! - [`settings`]: every knob, with default and unit
//! - [`metrics`], [`feed_metrics`]: what the server counts
//! - [`wiring`]: chooses adapters by URL

pub mod acceptance;
pub mod board_reader;
pub mod data_dir;
pub mod dead_letters;
pub mod doctor;
pub mod domain;
pub mod feed_metrics;
pub mod feed_reader;
pub mod feed_shelf;
pub mod feed_status;
pub mod feeds;
pub mod leases;
pub mod ledger;
pub mod metrics;
pub mod ports;
pub mod queue;
pub mod queue_watch;
pub mod rankings;
pub mod rate_limits;
pub mod rebuild;
pub mod redis;
pub mod registration;
pub mod replies;
pub mod settings;
pub mod source;
pub mod sqlite;
pub mod tls;
pub mod topics;
pub mod transform;
pub mod wiring;
