//! Leases in Redis: a key with a life, that only its holder renews.

use std::sync::LazyLock;
use std::time::Duration;

use ::redis::Script;
use async_trait::async_trait;

use crate::ports::{Leases, PortError};
use crate::redis::RedisHandle;

static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hold.lua")));

/// Leases shared by all processes on one Redis.
pub struct RedisLeases {
    handle: RedisHandle,
    holder: String,
}

impl RedisLeases {
    /// Leases of one process, under a name of its own.
    #[must_use]
    pub fn new(handle: RedisHandle) -> Self {
        Self { handle, holder: format!("{:032x}", rand::random::<u128>()) }
    }

    async fn run(&self, operation: &'static str, name: &str, time: Duration) -> Result<bool, PortError> {
        let key = self.handle.lease_key(name);
        let arguments = [self.holder.clone(), time.as_millis().to_string()];
        let reply = self.handle.run(operation, &HOLD, &[&key], &arguments).await?;
        Ok(reply.first().is_some_and(|answer| answer == "held"))
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn hold(&self, name: &str, time: Duration) -> Result<bool, PortError> {
        self.run("take a lease", name, time.max(Duration::from_millis(1))).await
    }

    async fn release(&self, name: &str) -> Result<(), PortError> {
        self.run("give a lease back", name, Duration::ZERO).await.map(|_| ())
    }
}
