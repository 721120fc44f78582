//! Fetches a feed once: asks its source, runs its filters, and tells a new value from one that is known.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{FeedValue, FetchFailure, FetchFault, Micros};
use crate::ports::{Clock, Known, PortError, Source, SourceAnswer, SourceRequest, SystemClock, Validators};
use crate::settings::{Feed, Settings};
use crate::source::{HttpSource, SourceLimits};
use crate::transform::Transformer;

/// What a fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A value to publish, and what to remember with it.
    Value(FeedValue, Known),
    /// The value that is known is still the newest: nothing to publish, but it is fresh.
    Unchanged(Known, Unchanged),
}

impl News {
    /// Its stable name in logs, metrics and answers, beside those of failures.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::Value(..) => "value",
            Self::Unchanged(_, Unchanged::NotModified) => "not-modified",
            Self::Unchanged(_, Unchanged::SameVersion) => "same-version",
        }
    }
}

/// How it is known that nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// The source said so (304).
    NotModified,
    /// The feed's `dedupe` filter gave the same again.
    SameVersion,
}

/// A fetch, as it is logged and counted.
#[derive(Debug)]
pub struct Fetched {
    /// When it began.
    pub at: Micros,
    /// The source's last status, if there was any.
    pub status: Option<u16>,
    /// Bytes of the answer that were read, unpacked.
    pub bytes: u64,
    /// How long the source took.
    pub latency: Duration,
    /// What came of it.
    pub outcome: Result<News, FetchFailure>,
}

/// Fetches feeds. One is enough for all feeds of a process.
pub struct FeedReader {
    source: Arc<dyn Source>,
    transformer: Transformer,
    clock: Arc<dyn Clock>,
}

impl FeedReader {
    /// A reader of real sources with the limits of the settings.
    ///
    /// # Errors
    /// As [`HttpSource::new`] and [`Transformer::from_settings`].
    pub fn from_settings(settings: &Settings) -> Result<Self, PortError> {
        let source = Arc::new(HttpSource::new(SourceLimits::from_settings(settings))?);
        let transformer = Transformer::from_settings(settings)
            .map_err(|e| PortError::new("find the binary that runs filters", crate::ports::FailureKind::Rejected, e))?;
        Ok(Self { source, transformer, clock: Arc::new(SystemClock) })
    }

    /// Asks the source once. Ends within the settings' limits on time, whatever source and filters do.
    pub async fn fetch(&self, feed: &Feed, known: Option<&Known>) -> Fetched {
        let at = self.clock.now();
        let definition = feed.fingerprint();
        let known = known.filter(|known| known.definition == definition);
        let nothing = Validators::default();
        let validators = known.map_or(&nothing, |known| &known.validators);
        let request = SourceRequest { url: &feed.url, headers: &feed.headers, validators };
        let reply = self.source.get(request).await;
        let outcome = match (reply.answer, known) {
            (Ok(SourceAnswer::Unmodified), Some(known)) => Ok(News::Unchanged(known.clone(), Unchanged::NotModified)),
            (Ok(SourceAnswer::Unmodified), None) => {
                Err(FetchFailure::new(FetchFault::UnexpectedStatus, "it answered 304, and nothing was known"))
            }
            (Ok(SourceAnswer::Body { bytes, validators }), known) => {
                self.read(feed, at, &bytes, validators, known).await
            }
            (Err(failure), _) => Err(failure),
        };
        let outcome = outcome.map_err(|failure| feed.without_secrets(failure));
        Fetched { at, status: reply.status, bytes: reply.bytes, latency: reply.latency, outcome }
    }

    /// The same with an answer that was saved, as if it came now.
    ///
    /// # Errors
    /// As the filters fail.
    pub async fn read_saved(&self, feed: &Feed, answer: &[u8]) -> Result<News, FetchFailure> {
        let read = self.read(feed, self.clock.now(), answer, Validators::default(), None).await;
        read.map_err(|failure| feed.without_secrets(failure))
    }

    async fn read(
        &self,
        feed: &Feed,
        at: Micros,
        answer: &[u8],
        validators: Validators,
        known: Option<&Known>,
    ) -> Result<News, FetchFailure> {
        let made = self.transformer.run(&feed.name, &feed.filters, answer).await?;
        let same_version = made.dedupe.is_some() && known.is_some_and(|known| known.dedupe == made.dedupe);
        let now_known = Known { definition: feed.fingerprint(), validators, dedupe: made.dedupe };
        if same_version {
            return Ok(News::Unchanged(now_known, Unchanged::SameVersion));
        }
        match FeedValue::parse(at.unix_seconds(), made.data) {
            Ok(value) => Ok(News::Value(value, now_known)),
            Err(error) => Err(FetchFailure::new(FetchFault::TransformOutput, error.to_string())),
        }
    }
}
