//! What every Redis adapter shares: one reconnecting connection, key names, and the meaning of Redis's errors.

mod connection;
mod errors;
mod keys;
mod subscription;

use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, RedisResult, Script};

use crate::ports::{FailureKind, PortError};
use connection::{CONNECTION_TIMEOUT, Link};
pub(crate) use errors::{corrupt, port_error};
pub(crate) use keys::{BoardKeys, TopicKeys};
pub use subscription::Watch;
pub(crate) use subscription::{Audience, Subscription};

const CONNECT: &str = "connect to Redis";
/// Long enough for names of tests and tenants.
const LONGEST_PREFIX: usize = 64;

/// A Redis server and the part of its keys that is ours. Clones share one multiplexed connection, which is
/// opened anew when it breaks.
#[derive(Clone)]
pub struct RedisHandle {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    prefix: String,
    link: Link,
}

/// The prefix can not be used.
#[derive(Debug, thiserror::Error)]
#[error("a Redis key prefix has at most {LONGEST_PREFIX} ASCII letters, digits and characters of : _ - .")]
struct BadPrefix;

impl RedisHandle {
    /// Connects to `redis://[user:password@]host[:port][/database]` or `redis+unix:///path`. All keys and
    /// channels begin with `prefix` (after the brace that marks the hash slot).
    ///
    /// # Errors
    /// Rejected when URL or prefix can not be used, unavailable when Redis can not be reached.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, PortError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b":_-.".contains(&b);
        if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(allowed) {
            // Braces would move keys to other slots, and wildcards would listen to other tenants.
            return Err(PortError::new(CONNECT, FailureKind::Rejected, BadPrefix));
        }
        let client = Client::open(url).map_err(|e| port_error(CONNECT, e))?;
        let handle = Self {
            inner: Arc::new(Inner { client: client.clone(), prefix: prefix.to_owned(), link: Link::new(client) }),
        };
        handle.inner.link.get().await.map_err(|e| port_error(CONNECT, e))?;
        Ok(handle)
    }

    /// Runs a script. Every script gets the run id of the server as its first argument, before these.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<Vec<String>, PortError> {
        let mut connected = self.inner.link.get().await.map_err(|e| port_error(operation, e))?;
        let mut invocation = script.arg(&connected.run_id);
        invocation.key(keys).arg(arguments);
        match invocation.invoke_async(&mut connected.connection).await {
            Ok(reply) => Ok(reply),
            Err(error) => {
                self.inner.link.failed(&connected, &error).await;
                Err(port_error(operation, error))
            }
        }
    }

    /// Makes one call on the shared connection, which is opened anew after one that broke it.
    pub(crate) async fn call<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F + Send) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let connected = self.inner.link.get().await?;
        let result = call(connected.connection.clone()).await;
        if let Err(error) = &result {
            self.inner.link.failed(&connected, error).await;
        }
        result
    }

    /// For connections of one's own.
    pub(crate) fn client(&self) -> Client {
        self.inner.client.clone()
    }

    /// A new connection that receives what is published.
    pub(crate) async fn subscriber(&self) -> Result<::redis::aio::PubSub, PortError> {
        let operation = "subscribe to channels";
        tokio::time::timeout(CONNECTION_TIMEOUT, self.inner.client.get_async_pubsub())
            .await
            .map_err(|elapsed| PortError::new(operation, FailureKind::Unavailable, elapsed))?
            .map_err(|e| port_error(operation, e))
    }

    /// What every key begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Channels are shared by all databases of a server, so their names carry the number.
    pub(crate) fn database(&self) -> i64 {
        self.inner.client.get_connection_info().redis_settings().db()
    }
}
