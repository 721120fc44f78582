//! What is counted of feeds. Their names come from the configuration, so there are few.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{FeedName, Micros};

/// Seconds: from five milliseconds to half a minute.
const SOURCE_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeedLabel {
    feed: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    feed: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SkipLabels {
    feed: String,
    reason: &'static str,
}

/// Why a fetch that was due did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The next one was due already.
    Late,
    /// An earlier one had not ended.
    Overlap,
    /// The source is left alone after failures, or as it wished.
    Resting,
    /// This process does not know the feed: configurations of a fleet differ.
    Unknown,
}

impl Skipped {
    const fn slug(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Overlap => "overlap",
            Self::Resting => "resting",
            Self::Unknown => "unknown-feed",
        }
    }
}

/// Every metric of feeds.
pub struct FeedMetrics {
    fetches: Family<OutcomeLabels, Counter>,
    skipped: Family<SkipLabels, Counter>,
    latency: Family<FeedLabel, Histogram>,
    checked: Family<FeedLabel, Gauge<f64, AtomicU64>>,
    stale: Family<FeedLabel, Gauge>,
    failures: Family<FeedLabel, Gauge>,
    /// Fetches that are queued or in hand.
    pub queued: Gauge,
    /// Fetches that were given up on and are parked.
    pub dead: Gauge,
    /// Requests to sources that could not be logged and are forgotten.
    pub unlogged: Counter,
}

impl Default for FeedMetrics {
    fn default() -> Self {
        Self {
            fetches: Family::default(),
            skipped: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(SOURCE_BUCKETS)),
            checked: Family::default(),
            stale: Family::default(),
            failures: Family::default(),
            queued: Gauge::default(),
            dead: Gauge::default(),
            unlogged: Counter::default(),
        }
    }
}

impl FeedMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("feed_fetches", "Fetches of feeds, by what came of them", self.fetches.clone());
        r.register("feed_skipped", "Fetches that were due and did not take place", self.skipped.clone());
        r.register_with_unit("feed_source", "How long sources took", Unit::Seconds, self.latency.clone());
        r.register_with_unit(
            "feed_checked_timestamp",
            "Unix time of the last fetch that brought a value or found it unchanged",
            Unit::Seconds,
            self.checked.clone(),
        );
        r.register("feed_stale", "Whether a feed's value is stale (1) or not (0)", self.stale.clone());
        r.register("feed_failures_in_row", "Failed fetches of a feed in a row", self.failures.clone());
        r.register("feed_queue_depth", "Fetches that are queued or in hand", self.queued.clone());
        r.register("feed_dead_letters", "Fetches given up on and parked", self.dead.clone());
        r.register("source_requests_unlogged", "Requests to sources missing in the log", self.unlogged.clone());
    }

    /// Counts a fetch by the slug of what came of it.
    pub fn fetched(&self, feed: &FeedName, outcome: &'static str, latency: Duration) {
        self.fetches.get_or_create(&OutcomeLabels { feed: feed.to_string(), outcome }).inc();
        self.latency.get_or_create(&FeedLabel { feed: feed.to_string() }).observe(latency.as_secs_f64());
    }

    /// Counts a fetch that did not take place.
    pub fn skipped(&self, feed: &FeedName, reason: Skipped) {
        self.skipped.get_or_create(&SkipLabels { feed: feed.to_string(), reason: reason.slug() }).inc();
    }

    /// Shows how a feed is now.
    pub fn observe(&self, feed: &FeedName, checked_at: Option<Micros>, stale: bool, failures: u32) {
        let label = FeedLabel { feed: feed.to_string() };
        if let Some(at) = checked_at {
            // Microseconds since 1970 are exact in a double for 285 years.
            self.checked.get_or_create(&label).set(at.0 as f64 / 1e6);
        }
        self.stale.get_or_create(&label).set(stale.into());
        self.failures.get_or_create(&label).set(failures.into());
    }
}
