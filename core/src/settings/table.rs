//! The one table of settings: flag, variable, file key, default and help all come from a row here.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::file::{SettingsError, SettingsFile};
use super::origin::OriginPattern;
use super::units::{Bytes, Failing, List, LogFormat, Maybe, Rate, Role, Secret, Span, StreamAccess};
use crate::domain::FeedName;

/// A setting as its documentation shows it.
#[derive(Clone, Copy, Debug)]
pub struct Documented {
    /// The key in the file; the flag is the same with dashes.
    pub name: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// The default as text.
    pub default: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal, $env:literal;)+) => {
        /// All settings, resolved.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// Settings as flags and environment variables give them.
        #[derive(Clone, Debug, Default, clap::Args)]
        pub struct Overrides {
            $(
                $(#[doc = $doc])+
                #[arg(
                    long,
                    env = $env,
                    hide_env_values = true,
                    value_name = "VALUE",
                    help = concat!($($doc),+, " [default: ", $default, "]").trim_start(),
                )]
                pub $name: Option<$type>,
            )+
        }

        impl Settings {
            /// Every setting with its default.
            pub const DOCUMENTED: &'static [Documented] = &[
                $(Documented { name: stringify!($name), env: $env, default: $default },)+
            ];

            /// Flags and variables before the file before defaults.
            ///
            /// # Errors
            /// [`SettingsError`] names the key and what is wrong with its value.
            pub fn resolve(overrides: Overrides, file: &SettingsFile) -> Result<Self, SettingsError> {
                Ok(Self {
                    $($name: match overrides.$name {
                        Some(value) => value,
                        None => file.value(stringify!($name), $default)?,
                    },)+
                })
            }
        }
    };
}

settings! {
    /// Address and port to listen on
    listen: SocketAddr = "127.0.0.1:3000", "SCOREWIRE_LISTEN";
    /// Address and port to listen on with TLS, where tls_cert and tls_key are set
    tls_listen: SocketAddr = "127.0.0.1:3443", "SCOREWIRE_TLS_LISTEN";
    /// Certificate chain (PEM file), read anew when it changes; empty: no TLS
    tls_cert: Maybe<PathBuf> = "", "SCOREWIRE_TLS_CERT";
    /// Private key of the certificate (PEM file), read anew when it changes
    tls_key: Maybe<PathBuf> = "", "SCOREWIRE_TLS_KEY";
    /// Directory of everything the embedded deployment stores
    data_dir: PathBuf = "scorewire-data", "SCOREWIRE_DATA_DIR";
    /// Ledger: postgres://user:password@host:5432/name; empty for the SQLite file of the embedded deployment
    database_url: Maybe<Secret> = "", "DATABASE_URL";
    /// Connections to the database at most, of this process
    database_connections: u32 = "8", "SCOREWIRE_DATABASE_CONNECTIONS";
    /// Time to wait for a connection to the database
    database_acquire_timeout: Span = "5s", "SCOREWIRE_DATABASE_ACQUIRE_TIMEOUT";
    /// Time one statement may take, waiting for locks included
    database_statement_timeout: Span = "30s", "SCOREWIRE_DATABASE_STATEMENT_TIMEOUT";
    /// Queue, rankings and topics: redis://user:password@host:6379/0; empty for those of the embedded deployment
    redis_url: Maybe<Secret> = "", "REDIS_URL";
    /// What every key and channel in Redis begins with: one for each fleet that shares a server
    redis_prefix: String = "sw:", "SCOREWIRE_REDIS_PREFIX";
    /// Time a start waits for Redis, the database and its migrations
    start_timeout: Span = "30s", "SCOREWIRE_START_TIMEOUT";
    /// What this process runs: all, api or worker (api and worker need DATABASE_URL and REDIS_URL)
    role: Role = "all", "SCOREWIRE_ROLE";
    /// Secret of at least 32 bytes that signs tokens (JWT, HS256); empty: one is made in the data directory
    jwt_secret: Maybe<Secret> = "", "JWT_SECRET";
    /// Required `aud` of a token; empty: not checked
    jwt_audience: Maybe<String> = "", "JWT_AUDIENCE";
    /// Required `iss` of a token; empty: not checked
    jwt_issuer: Maybe<String> = "", "JWT_ISSUER";
    /// Clock difference forgiven in `exp` and `nbf` of a token
    jwt_leeway: Span = "5s", "JWT_LEEWAY";
    /// Log lines as text or json
    log_format: LogFormat = "text", "SCOREWIRE_LOG_FORMAT";
    /// Which log lines: a level, or a filter like `info,scorewire=debug`
    log: String = "info,apalis_core=warn", "SCOREWIRE_LOG";
    /// Writes a subject may send: so many at once, refilled evenly over the period; or off
    rate_limit_subject: Rate = "100/1s", "SCOREWIRE_RATE_LIMIT_SUBJECT";
    /// Requests an address may send, reads included; or off
    rate_limit_ip: Rate = "1000/1s", "SCOREWIRE_RATE_LIMIT_IP";
    /// Streams an address may open; or off
    rate_limit_streams: Rate = "1200/1m", "SCOREWIRE_RATE_LIMIT_STREAMS";
    /// While Redis can not be asked about a limit: open (each process limits by itself) or closed (503)
    rate_limit_unavailable: Failing = "open", "SCOREWIRE_RATE_LIMIT_UNAVAILABLE";
    /// Proxies (networks, comma separated) whose X-Forwarded-For is believed
    trusted_proxies: List<IpNet> = "", "SCOREWIRE_TRUSTED_PROXIES";
    /// Origins (comma separated) whose pages may call the API, like https://*.example.com; * for any, without cookies
    cors_origins: List<OriginPattern> = "*", "SCOREWIRE_CORS_ORIGINS";
    /// Largest request body
    max_body: Bytes = "64KiB", "SCOREWIRE_MAX_BODY";
    /// Open connections at most
    max_connections: usize = "15000", "SCOREWIRE_MAX_CONNECTIONS";
    /// Open connections of one address at most
    max_connections_per_ip: usize = "15000", "SCOREWIRE_MAX_CONNECTIONS_PER_IP";
    /// Time a client has to send a request's head
    header_timeout: Span = "10s", "SCOREWIRE_HEADER_TIMEOUT";
    /// Time a client may take nothing of what is sent to it before it is cut off
    write_timeout: Span = "30s", "SCOREWIRE_WRITE_TIMEOUT";
    /// Longest time a write waits for its result with `Prefer: wait`; longer wishes are cut to it, 0s ignores them
    max_wait: Span = "10s", "SCOREWIRE_MAX_WAIT";
    /// Time for requests in flight to end when the server stops
    shutdown_timeout: Span = "2s", "SCOREWIRE_SHUTDOWN_TIMEOUT";
    /// Unfinished jobs at which new updates are refused with 503
    queue_limit: u64 = "200000", "SCOREWIRE_QUEUE_LIMIT";
    /// Updates in one job at most
    job_updates: usize = "512", "SCOREWIRE_JOB_UPDATES";
    /// Updates in one ledger transaction at most
    commit_updates: usize = "1024", "SCOREWIRE_COMMIT_UPDATES";
    /// Silence of a worker on another machine after which its jobs are given to others
    orphan_after: Span = "5s", "SCOREWIRE_ORPHAN_AFTER";
    /// Between two comparisons of the rankings with the ledger
    reconcile_every: Span = "5m", "SCOREWIRE_RECONCILE_EVERY";
    /// Failed tries after which an update is parked as a dead letter
    max_attempts: u32 = "10", "SCOREWIRE_MAX_ATTEMPTS";
    /// Wait after the first failed try; doubles with each, with jitter
    retry_base: Span = "1s", "SCOREWIRE_RETRY_BASE";
    /// Longest wait between two tries
    retry_max: Span = "5m", "SCOREWIRE_RETRY_MAX";
    /// How long the ledger remembers an update and its key deduplicates (24 hours at least)
    retention: Span = "30days", "SCOREWIRE_RETENTION";
    /// How long requests to sources are kept in the log
    source_log_retention: Span = "7days", "SCOREWIRE_SOURCE_LOG_RETENTION";
    /// Rows of `snapshot` and `top` messages, and of GET /scores without a limit
    top_rows: usize = "10", "SCOREWIRE_TOP_ROWS";
    /// Messages of a topic kept for replay
    topic_messages: usize = "10000", "SCOREWIRE_TOPIC_MESSAGES";
    /// Age of messages kept for replay
    topic_age: Span = "10m", "SCOREWIRE_TOPIC_AGE";
    /// Open streams at most
    max_viewers: usize = "15000", "SCOREWIRE_MAX_VIEWERS";
    /// Open streams of one address at most
    max_viewers_per_ip: usize = "15000", "SCOREWIRE_MAX_VIEWERS_PER_IP";
    /// Open streams with tokens of one subject at most
    max_viewers_per_subject: usize = "1000", "SCOREWIRE_MAX_VIEWERS_PER_SUBJECT";
    /// Topics of one stream at most
    max_topics_per_viewer: usize = "64", "SCOREWIRE_MAX_TOPICS_PER_VIEWER";
    /// Messages a viewer may send over its WebSocket
    rate_limit_viewer: Rate = "100/1s", "SCOREWIRE_RATE_LIMIT_VIEWER";
    /// Messages a viewer of scores or prices may be behind before it is sent only the newest value of each
    conflate_behind: u64 = "512", "SCOREWIRE_CONFLATE_BEHIND";
    /// Unsent bytes of messages at which a viewer that wants all of them is closed as slow; it may come back
    viewer_max_bytes: Bytes = "1MiB", "SCOREWIRE_VIEWER_MAX_BYTES";
    /// Age of the oldest message not sent to such a viewer at which it is closed as slow
    viewer_max_delay: Span = "30s", "SCOREWIRE_VIEWER_MAX_DELAY";
    /// Time within which the viewers of a server that stops leave it, spread evenly
    drain_window: Span = "2s", "SCOREWIRE_DRAIN_WINDOW";
    /// Who may watch streams: public (everybody) or token (who has a token with a scope like stream:scores)
    streams: StreamAccess = "public", "SCOREWIRE_STREAMS";
    /// How long a token from POST /stream-tokens is valid
    stream_token_life: Span = "5m", "SCOREWIRE_STREAM_TOKEN_LIFE";
    /// Silence after which a viewer gets a comment line
    heartbeat: Span = "15s", "SCOREWIRE_HEARTBEAT";
    /// Feed of GET /stream; empty: the first
    default_feed: Maybe<FeedName> = "", "SCOREWIRE_DEFAULT_FEED";
    /// Source of the feed `match`: an http or https URL; alone it makes this feed
    source_url: Maybe<Secret> = "", "SOURCE_URL";
    /// From one fetch of the feed `match` to the next; empty: its fetch_every
    fetch_interval: Maybe<Span> = "", "FETCH_INTERVAL";
    /// Beat on which viewers of the feed `match` get its latest message again; empty: its transmit_every
    transmit_interval: Maybe<Span> = "", "TRANSMIT_INTERVAL";
    /// What the feed `match` makes of an answer, in jq; empty: its transform
    source_transform: Maybe<String> = "", "SOURCE_TRANSFORM";
    /// Time a source has to take a connection, TLS included
    source_connect_timeout: Span = "5s", "SCOREWIRE_SOURCE_CONNECT_TIMEOUT";
    /// Time a source has for its whole answer, redirects included
    source_timeout: Span = "10s", "SCOREWIRE_SOURCE_TIMEOUT";
    /// Largest answer of a source, unpacked
    source_max_body: Bytes = "4MiB", "SCOREWIRE_SOURCE_MAX_BODY";
    /// Redirects of a source that are followed
    source_redirects: u32 = "3", "SCOREWIRE_SOURCE_REDIRECTS";
    /// Tries of one fetch before its feed's next tick, where the failure may pass within seconds
    fetch_attempts: u32 = "3", "SCOREWIRE_FETCH_ATTEMPTS";
    /// Fetches at once, of one process; further ones wait
    fetch_concurrency: usize = "32", "SCOREWIRE_FETCH_CONCURRENCY";
    /// Failures in a row after which a source is only probed now and then
    source_failures: u32 = "3", "SCOREWIRE_SOURCE_FAILURES";
    /// Longest time between two probes of a failing source; the time grows to it from fetch_every
    source_backoff_max: Span = "5m", "SCOREWIRE_SOURCE_BACKOFF_MAX";
    /// Longest Retry-After of a source that is heeded
    source_retry_after_max: Span = "1h", "SCOREWIRE_SOURCE_RETRY_AFTER_MAX";
    /// Time the filters of a feed have for one answer
    transform_timeout: Span = "2s", "SCOREWIRE_TRANSFORM_TIMEOUT";
    /// Memory the filters of a feed may use
    transform_memory: Bytes = "256MiB", "SCOREWIRE_TRANSFORM_MEMORY";
    /// Binary that runs the filters of feeds (scorewire itself); empty: the one that runs now
    transform_program: Maybe<PathBuf> = "", "SCOREWIRE_TRANSFORM_PROGRAM";
    /// Largest value of a feed
    transform_max_output: Bytes = "64KiB", "SCOREWIRE_TRANSFORM_MAX_OUTPUT";
}
