//! Asks Redis how it is set. `CONFIG GET` may be refused by managed servers; `INFO` says the most important part.

mod judge;

use std::collections::BTreeMap;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisResult, cmd};
use tokio::time::Instant;

use super::{Finding, PATIENCE, is_this_machine};

/// Settings asked by `CONFIG GET`, none of them secret.
const ASKED: [&str; 9] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
    "save",
    "stop-writes-on-bgsave-error",
    "min-replicas-to-write",
    "min-replicas-max-lag",
];
/// Round trips measured; the quickest counts.
const ROUND_TRIPS: usize = 5;
/// Keys looked at to learn whether others use the same database.
const SAMPLE: usize = 1_000;

/// What a server said of itself.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// `host:port`, or the path of a socket.
    address: String,
    /// Reached over a network.
    remote: bool,
    /// The URL has a password.
    password: bool,
    /// Fields of `INFO`.
    info: BTreeMap<String, String>,
    /// Settings, unless the server refuses to tell.
    config: Option<BTreeMap<String, String>>,
    round_trip: Duration,
    /// Keys seen and those among them that are not ours, unless the server refuses to tell.
    keys: Option<(usize, usize)>,
}

/// Asks the server and judges it.
pub(super) async fn examine(url: &str, prefix: &str) -> Vec<Finding> {
    let refused = |address: &str, error: ::redis::RedisError| {
        vec![Finding::unknown(
            "redis",
            format!("{address} could not be asked: {error}"),
            "Whether the queue survives a crash is not known.",
            "check REDIS_URL, that the server runs, and the network between",
        )]
    };
    let client = match Client::open(url) {
        Ok(client) => client,
        Err(error) => return refused("the server of REDIS_URL", error),
    };
    let (address, remote) = match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (format!("{host}:{port}"), !is_this_machine(host))
        }
        local => (local.to_string(), false),
    };
    match ask(&client, prefix).await {
        Ok(facts) => {
            let password = client.get_connection_info().redis_settings().password().is_some();
            judge::judge(&Facts { address, remote, password, ..facts })
        }
        Err(error) => refused(&address, error),
    }
}

async fn ask(client: &Client, prefix: &str) -> RedisResult<Facts> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let info: String = cmd("INFO").query_async(&mut connection).await?;
    let mut round_trip = PATIENCE;
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        cmd("PING").query_async::<()>(&mut connection).await?;
        round_trip = round_trip.min(begun.elapsed());
    }
    let info = fields(&info);
    let config = settings(&mut connection).await;
    let keys = foreign_keys(&mut connection, prefix).await.ok();
    Ok(Facts { info, config, round_trip, keys, ..Facts::default() })
}

/// The lines `name:value` of `INFO`.
fn fields(info: &str) -> BTreeMap<String, String> {
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// One question per setting: older servers answer no more than one. `None` when the server tells none.
async fn settings(connection: &mut MultiplexedConnection) -> Option<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for name in ASKED {
        // A refused question is one of the answers.
        let answer: RedisResult<BTreeMap<String, String>> =
            cmd("CONFIG").arg("GET").arg(name).query_async(connection).await;
        settings.extend(answer.unwrap_or_default());
    }
    (!settings.is_empty()).then_some(settings)
}

/// How many of the first keys there are, and how many of them are not ours.
async fn foreign_keys(connection: &mut MultiplexedConnection, prefix: &str) -> RedisResult<(usize, usize)> {
    let ours = format!("{{{prefix}");
    let (mut cursor, mut seen, mut foreign) = (0_u64, 0, 0);
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) =
            cmd("SCAN").arg(cursor).arg("COUNT").arg(SAMPLE).query_async(connection).await?;
        seen += keys.len();
        let is_ours = |key: &[u8]| key.starts_with(ours.as_bytes()) || key.starts_with(prefix.as_bytes());
        foreign += keys.iter().filter(|key| !is_ours(key)).count();
        cursor = next;
        if cursor == 0 || seen >= SAMPLE {
            return Ok((seen, foreign));
        }
    }
}
