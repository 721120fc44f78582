//! What the Redis adapters share.

use std::time::Duration;

use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use crate::ports::{FailureKind, PortError};

/// A connection that comes back by itself, and the prefix of every key.
#[derive(Clone)]
pub struct RedisHandle {
    client: Client,
    connection: ConnectionManager,
    prefix: String,
}

impl RedisHandle {
    /// Connects.
    ///
    /// # Errors
    /// When the URL is wrong.
    pub fn connect(url: &str, prefix: &str) -> Result<Self, PortError> {
        let operation = "connect to Redis";
        let client = Client::open(url).map_err(failed(operation))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(Duration::from_secs(5)))
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_max_delay(Duration::from_secs(1));
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(failed(operation))?;
        Ok(Self { client, connection, prefix: prefix.to_owned() })
    }

    /// The shared connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// For connections of one's own.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What every key begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Turns a Redis error into a port error of the right kind.
pub(crate) fn failed(operation: &'static str) -> impl Fn(redis::RedisError) -> PortError {
    move |error| PortError::new(operation, FailureKind::Unavailable, error)
}
