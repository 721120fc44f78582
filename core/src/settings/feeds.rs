//! Feeds in the settings: `[[feeds]]` in the file, and the plain variables that make or change the feed `match`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use sha2::{Digest, Sha256};

use super::file::{SettingsError, SettingsFile};
use super::table::Settings;
use super::units::{Secret, Span};
use super::variables::Expanded;
use crate::domain::{BreakerPolicy, FeedName, FetchFailure, SourceUrl, hex};
use crate::transform::Filters;

/// The feed that the plain variables are about.
const MATCH: &str = "match";
/// What `SOURCE_URL` alone publishes: who a user of reqres.in is.
const MATCH_TRANSFORM: &str = r#".data | {username: (.email/"@")[0], domain: (.email/"@")[1], name: ("\(.first_name) \(.last_name)" | ascii_downcase)}"#;
/// Below it a schedule would do nothing but fetch.
const SHORTEST: Duration = Duration::from_millis(100);

/// A feed as it is configured.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its name, unique.
    pub name: FeedName,
    /// What to get.
    pub url: SourceUrl,
    /// What to send with it, all marked sensitive.
    pub headers: HeaderMap,
    /// From one fetch to the next.
    pub fetch_every: Duration,
    /// The beat on which viewers get the latest message again; `None`: only when it changes.
    pub transmit_every: Option<Duration>,
    /// What becomes of an answer.
    pub filters: Filters,
    /// Age of messages kept for replay.
    pub keep: Duration,
    /// Messages kept for replay.
    pub keep_messages: usize,
    /// Time without a good fetch after which the value is stale.
    pub stale_after: Duration,
    /// Time after which a value that is confirmed, but never changes, is stale; `None`: it may stand still.
    pub max_unchanged: Option<Duration>,
    /// Values that came from the environment.
    secrets: Vec<Secret>,
}

impl Feed {
    /// Changes with whatever makes another value of the same answer, or asks for another answer; hides what it is of.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Filters { transform, error, dedupe } = &self.filters;
        let (error, dedupe) = (error.as_deref(), dedupe.as_deref());
        let mut hash = Sha256::new();
        // The debug form keeps the parts apart.
        hash.update(format!("{:?}", (self.url.with_secrets().as_str(), transform, error, dedupe)));
        for (name, value) in &self.headers {
            hash.update(format!("{:?}", (name.as_str(), value.as_bytes())));
        }
        hex(&hash.finalize()[..16])
    }

    /// How patient to be with the source when it fails.
    #[must_use]
    pub fn patience(&self, settings: &Settings) -> BreakerPolicy {
        BreakerPolicy {
            failures: settings.source_failures.max(1),
            base: self.fetch_every,
            max: settings.source_backoff_max.0.max(self.fetch_every),
            max_wish: settings.source_retry_after_max.0,
            // No fetch takes longer.
            probe: settings.source_timeout.0 + settings.transform_timeout.0 * 2,
        }
    }

    /// The failure with every value from the environment struck out: sources like to quote what they were sent.
    #[must_use]
    pub fn without_secrets(&self, failure: FetchFailure) -> FetchFailure {
        let message = self.secrets.iter().fold(failure.message, |text, secret| text.replace(&secret.0, "***"));
        FetchFailure { message, ..failure }
    }
}

/// A table `[[feeds]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: FeedName,
    url: String,
    #[serde(default)]
    headers: toml::Table,
    #[serde(default = "ten_seconds", deserialize_with = "span")]
    fetch_every: Duration,
    #[serde(default, deserialize_with = "span")]
    transmit_every: Duration,
    #[serde(default = "identity")]
    transform: String,
    error: Option<String>,
    dedupe: Option<String>,
    #[serde(default = "hour", deserialize_with = "span")]
    keep: Duration,
    #[serde(default = "thousand")]
    keep_messages: usize,
    #[serde(default, deserialize_with = "span")]
    stale_after: Duration,
    #[serde(default, deserialize_with = "span")]
    max_unchanged: Duration,
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn hour() -> Duration {
    Duration::from_secs(3_600)
}

const fn thousand() -> usize {
    1_000
}

fn identity() -> String {
    ".".to_owned()
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    Span::from_str(&text).map(|span| span.0).map_err(D::Error::custom)
}

impl Table {
    /// What `SOURCE_URL` alone makes.
    fn of_match(name: FeedName, url: String) -> Self {
        Self {
            name,
            url,
            headers: toml::Table::new(),
            fetch_every: ten_seconds(),
            transmit_every: Duration::from_secs(2),
            transform: MATCH_TRANSFORM.to_owned(),
            error: None,
            dedupe: None,
            keep: hour(),
            keep_messages: thousand(),
            stale_after: Duration::ZERO,
            max_unchanged: Duration::ZERO,
        }
    }

    fn feed(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Feed, (&'static str, String)> {
        let mut secrets = Vec::new();
        let mut expand = |text: &str| -> Result<String, String> {
            let Expanded { text, values } = Expanded::of(text, variable)?;
            secrets.extend(values.into_iter().map(Secret));
            Ok(text)
        };
        let url = expand(&self.url).and_then(|url| url.parse()).map_err(|why| ("url", why))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |why: &str| ("headers", format!("{name:?} {why}"));
            let parsed = HeaderName::from_str(name).map_err(|_| wrong("is no header's name"))?;
            let text = value.as_str().ok_or_else(|| wrong("has a value that is no text"))?;
            let text = expand(text).map_err(|why| wrong(&format!("can not be used: {why}")))?;
            let mut value = HeaderValue::from_str(&text).map_err(|_| wrong("has a value that no header can have"))?;
            value.set_sensitive(true);
            headers.append(parsed, value);
        }
        if self.fetch_every < SHORTEST {
            return Err(("fetch_every", format!("write a time of at least {}", Span(SHORTEST))));
        }
        if !self.transmit_every.is_zero() && self.transmit_every < SHORTEST {
            return Err(("transmit_every", format!("write 0s or a time of at least {}", Span(SHORTEST))));
        }
        if self.keep_messages == 0 {
            return Err(("keep_messages", "the latest message is always kept: write 1 or more".to_owned()));
        }
        let filters = Filters { transform: self.transform, error: self.error, dedupe: self.dedupe };
        filters.check().map_err(|(filter, error)| (filter, error.to_string()))?;
        Ok(Feed {
            name: self.name,
            url,
            headers,
            fetch_every: self.fetch_every,
            transmit_every: Some(self.transmit_every).filter(|every| !every.is_zero()),
            filters,
            keep: self.keep,
            keep_messages: self.keep_messages,
            stale_after: if self.stale_after.is_zero() { self.fetch_every * 2 } else { self.stale_after },
            max_unchanged: Some(self.max_unchanged).filter(|most| !most.is_zero()),
            secrets,
        })
    }
}

impl Feed {
    /// All feeds: those of the file in its order, and `match` if the plain variables make it. Filters are parsed, and
    /// `${NAME}` in URLs and headers is replaced by what `variable` says of `NAME`.
    ///
    /// # Errors
    /// [`SettingsError`] names the feed, the key and what to write instead.
    pub fn all(
        settings: &Settings,
        file: &SettingsFile,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, SettingsError> {
        let mut tables = tables(file)?;
        override_match(settings, &mut tables)?;
        let mut feeds: Vec<Self> = Vec::new();
        for table in tables {
            let name = table.name.clone();
            if feeds.iter().any(|feed| feed.name == name) {
                return Err(wrong("name", format!("two feeds are called {name}: each needs a name of its own")));
            }
            let feed = table.feed(variable).map_err(|(key, reason)| wrong(key, format!("feed {name}: {reason}")))?;
            feeds.push(feed);
        }
        match &settings.default_feed.0 {
            Some(name) if feeds.iter().all(|feed| feed.name != *name) => Err(SettingsError::Value {
                key: "default_feed".to_owned(),
                reason: format!("there is no feed {name}: write [[feeds]] with this name, or name another"),
            }),
            _ => Ok(feeds),
        }
    }
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError::Value { key: format!("feeds.{key}"), reason }
}

fn tables(file: &SettingsFile) -> Result<Vec<Table>, SettingsError> {
    let of_file =
        |reason: String| SettingsError::Feeds { path: file.path().map_or_else(PathBuf::new, Into::into), reason };
    match file.table("feeds") {
        None => Ok(Vec::new()),
        Some(toml::Value::Array(tables)) => {
            let read = tables.iter().enumerate().map(|(index, table)| {
                let called = table.get("name").and_then(toml::Value::as_str);
                let called = called.map_or_else(|| format!("number {}", index + 1), str::to_owned);
                table
                    .clone()
                    .try_into()
                    .map_err(|e: toml::de::Error| of_file(format!("feed {called}: {}", e.message())))
            });
            read.collect()
        }
        Some(_) => Err(of_file("write [[feeds]] with two brackets, once for each feed".to_owned())),
    }
}

/// Lets the plain variables make the feed `match`, or change it.
fn override_match(settings: &Settings, tables: &mut Vec<Table>) -> Result<(), SettingsError> {
    let place = tables.iter().position(|table| table.name.as_str() == MATCH);
    let table = match (place, &settings.source_url.0) {
        (Some(place), _) => &mut tables[place],
        (None, Some(Secret(url))) => {
            let name = FeedName::parse(MATCH).map_err(|e| wrong("name", e.to_string()))?;
            tables.insert(0, Table::of_match(name, url.clone()));
            &mut tables[0]
        }
        (None, None) => {
            let set = [
                ("fetch_interval", settings.fetch_interval.0.is_some()),
                ("transmit_interval", settings.transmit_interval.0.is_some()),
                ("source_transform", settings.source_transform.0.is_some()),
            ];
            return match set.into_iter().find(|(_, set)| *set) {
                None => Ok(()),
                Some((key, _)) => Err(SettingsError::Value {
                    key: key.to_owned(),
                    reason: "there is no feed `match` to change: set SOURCE_URL, or write [[feeds]] with this name"
                        .to_owned(),
                }),
            };
        }
    };
    if let Some(Secret(url)) = &settings.source_url.0 {
        table.url.clone_from(url);
    }
    if let Some(every) = settings.fetch_interval.0 {
        table.fetch_every = every.0;
    }
    if let Some(every) = settings.transmit_interval.0 {
        table.transmit_every = every.0;
    }
    if let Some(transform) = &settings.source_transform.0 {
        table.transform.clone_from(transform);
    }
    Ok(())
}

#[cfg(test)]
#[path = "feeds_tests.rs"]
mod tests;
