//! One multiplexed connection, opened anew when it breaks.
//!
//! The client library's own connection manager keeps a connection whose answers time out, and lets callers wait
//! through its back-off. Here a time-out counts as broken too, and while Redis is away calls fail at once: their
//! callers know best how to wait.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// For opening a connection.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// For one answer; the library's default of 500 ms is shorter than a fork or an fsync can take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to connect: doubled from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An open connection.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    /// Names the life of the server at the other end: it changes with every restart and failover.
    pub(super) run_id: String,
    generation: u64,
}

/// The connection, or when to try again.
pub(super) struct Link {
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: Option<Connected>,
    generation: u64,
    away: Option<Away>,
}

struct Away {
    error: RedisError,
    wait: Duration,
    retry_at: Instant,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// The connection; opens it when there is none, but not more often than the back-off allows.
    pub(super) async fn get(&self) -> RedisResult<Connected> {
        let mut state = self.state.lock().await;
        if let Some(connected) = &state.connected {
            return Ok(connected.clone());
        }
        if let Some(away) = state.away.as_ref().filter(|away| Instant::now() < away.retry_at) {
            return Err(away.error.clone());
        }
        match open(&self.client).await {
            Ok((connection, run_id)) => {
                state.generation += 1;
                let connected = Connected { connection, run_id, generation: state.generation };
                state.connected = Some(connected.clone());
                state.away = None;
                Ok(connected)
            }
            Err(error) => {
                let wait = state.away.as_ref().map_or(BACK_OFF.0, |away| (away.wait * 2).min(BACK_OFF.1));
                state.away = Some(Away { error: error.clone(), wait, retry_at: Instant::now() + wait });
                Err(error)
            }
        }
    }

    /// Drops a connection that can not be used any more, unless another caller already did.
    pub(super) async fn failed(&self, used: &Connected, error: &RedisError) {
        // A server that became a replica refuses writes: the address may lead to the new primary by now.
        let broken = error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY");
        let mut state = self.state.lock().await;
        if broken && state.connected.as_ref().is_some_and(|held| held.generation == used.generation) {
            state.connected = None;
        }
    }
}

async fn open(client: &Client) -> RedisResult<(MultiplexedConnection, String)> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let info: String = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
    Ok((connection, run_id.to_owned()))
}
