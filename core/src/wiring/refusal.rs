//! Which deployment the settings ask for, and the sentences for those that ask for none.

use std::time::Duration;

use crate::data_dir::DataDirError;
use crate::ledger::SchemaError;
use crate::ports::PortError;
use crate::settings::Settings;
use crate::settings::units::{Maybe, Role, Secret, Span};
use crate::sqlite::OpenError;

/// A client may repeat a request this long after the first try and still meet its own key.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// Why a server can not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// An adapter this version does not have.
    #[error("{setting} is set to {scheme}, which this version does not support: {advice}")]
    Unsupported {
        /// The setting.
        setting: &'static str,
        /// The URL's scheme; the rest may hold a password.
        scheme: String,
        /// What to set instead.
        advice: &'static str,
    },
    /// One of two settings that need each other.
    #[error("{set} is set and {missing} is not: set both for many processes, or neither for the embedded deployment")]
    Half {
        /// The setting that is there.
        set: &'static str,
        /// The one it needs.
        missing: &'static str,
    },
    /// Roles in processes of their own need a queue they share.
    #[error(
        "--role api and --role worker need a queue and a ledger that processes share: set REDIS_URL and DATABASE_URL, or run --role all"
    )]
    SplitRole,
    /// Keys must outlive every client's retries.
    #[error("the retention of {0} is too short: keys deduplicate for it, so set 24 hours or more")]
    ShortRetention(Span),
    /// A worker that merely breathes slowly would lose its jobs.
    #[error("orphan_after is {0}: set 1s or more, or workers lose their jobs to each other")]
    ShortSilence(Span),
    /// The data directory can not be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A database file can not be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database's schema can not be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Something the server needs can not be reached or read.
    #[error("{}{}", .0, .0.advice.map(|advice| format!(": {advice}")).unwrap_or_default())]
    Port(#[from] PortError),
}

/// The deployment the settings ask for.
pub(super) enum Chosen<'a> {
    Embedded,
    Distributed { database: &'a str, redis: &'a str },
}

pub(super) fn choose(settings: &Settings) -> Result<Chosen<'_>, WiringError> {
    const DATABASE: &str = "DATABASE_URL";
    const REDIS: &str = "REDIS_URL";
    if settings.retention.0 < SHORTEST_RETENTION {
        return Err(WiringError::ShortRetention(settings.retention));
    }
    match (url(&settings.database_url), url(&settings.redis_url)) {
        (None, None) if settings.role == Role::All => Ok(Chosen::Embedded),
        (None, None) => Err(WiringError::SplitRole),
        (Some(_), None) => Err(WiringError::Half { set: DATABASE, missing: REDIS }),
        (None, Some(_)) => Err(WiringError::Half { set: REDIS, missing: DATABASE }),
        (Some(database), Some(redis)) => {
            supported(DATABASE, database, &["postgres", "postgresql"], "use postgres://user:password@host:5432/name")?;
            supported(
                REDIS,
                redis,
                &["redis", "redis+unix", "unix"],
                "use redis://host:6379 of a single server without TLS",
            )?;
            if settings.orphan_after.0 < Duration::from_secs(1) {
                return Err(WiringError::ShortSilence(settings.orphan_after));
            }
            Ok(Chosen::Distributed { database, redis })
        }
    }
}

fn url(setting: &Maybe<Secret>) -> Option<&str> {
    setting.0.as_ref().map(|Secret(url)| url.as_str())
}

fn supported(setting: &'static str, url: &str, schemes: &[&str], advice: &'static str) -> Result<(), WiringError> {
    let scheme = url.split_once(':').map_or("something that is no URL", |(scheme, _)| scheme);
    if schemes.contains(&scheme) {
        return Ok(());
    }
    Err(WiringError::Unsupported { setting, scheme: scheme.to_owned(), advice })
}
