//! What the server counts, for Prometheus. One instance per server: nothing global.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds: from a tenth of a millisecond to ten seconds.
const LATENCY_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The labels of an HTTP request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern, never the path itself.
    pub route: &'static str,
    /// The method.
    pub method: &'static str,
    /// `2xx`, `3xx`, `4xx` or `5xx`.
    pub status: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Every metric of a server.
pub struct Metrics {
    registry: Registry,
    /// Answered HTTP requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Updates accepted.
    pub accepted: Counter,
    /// Updates that repeated an earlier key.
    pub replayed: Counter,
    /// Updates that changed a score.
    pub applied: Counter,
    /// Updates recorded as rejected.
    pub rejected: Counter,
    /// Updates delivered again after they were decided.
    pub duplicates: Counter,
    /// Tries of a job that failed and will be repeated.
    pub retries: Counter,
    /// Times the worker found the ledger unavailable and waited.
    pub waits: Counter,
    /// Dead letters held.
    pub dead: Gauge,
    /// Jobs accepted and not finished.
    pub queue_depth: Gauge,
    /// Age of the oldest of them.
    pub queue_oldest: Seconds,
    /// Boards rebuilt from the ledger.
    pub rebuilds: Counter,
    /// Scheduled comparisons of the rankings with the ledger.
    pub reconciled: Counter,
    /// Standings found to differ from the ledger's, and mended.
    pub drift: Counter,
    /// Updates per ledger transaction.
    pub commit_size: Histogram,
    /// Connected viewers.
    pub viewers: Gauge,
    /// Messages handed to viewers.
    pub delivered: Counter,
    /// Viewers whose cursor could not be honoured.
    pub resets: Counter,
    /// From a message's publication to a viewer's connection taking it.
    pub publish_to_viewer: Histogram,
    /// Open connections.
    pub connections: Gauge,
    /// Connections refused at a limit.
    pub refused: Counter,
    /// Requests that wait for the decision about their update.
    pub waiting: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("scorewire"),
            requests: Family::default(),
            accepted: Counter::default(),
            replayed: Counter::default(),
            applied: Counter::default(),
            rejected: Counter::default(),
            duplicates: Counter::default(),
            retries: Counter::default(),
            waits: Counter::default(),
            dead: Gauge::default(),
            queue_depth: Gauge::default(),
            queue_oldest: Gauge::default(),
            rebuilds: Counter::default(),
            reconciled: Counter::default(),
            drift: Counter::default(),
            commit_size: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
            viewers: Gauge::default(),
            delivered: Counter::default(),
            resets: Counter::default(),
            publish_to_viewer: Histogram::new(LATENCY_BUCKETS),
            connections: Gauge::default(),
            refused: Counter::default(),
            waiting: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Answered HTTP requests", self.requests.clone());
        r.register("updates_accepted", "Score updates durably queued", self.accepted.clone());
        r.register("updates_replayed", "Score updates that repeated an earlier key", self.replayed.clone());
        r.register("updates_applied", "Score updates that changed a score", self.applied.clone());
        r.register("updates_rejected", "Score updates recorded as rejected", self.rejected.clone());
        r.register("updates_duplicate", "Score updates delivered again after their decision", self.duplicates.clone());
        r.register("job_retries", "Failed tries of a job that will be repeated", self.retries.clone());
        r.register("ledger_waits", "Times the worker waited for an unavailable ledger", self.waits.clone());
        r.register("dead_letters", "Updates given up on and parked", self.dead.clone());
        r.register("queue_depth", "Jobs accepted and not finished", self.queue_depth.clone());
        r.register_with_unit(
            "queue_oldest",
            "Age of the oldest unfinished job",
            Unit::Seconds,
            self.queue_oldest.clone(),
        );
        r.register("ranking_rebuilds", "Boards rebuilt from the ledger", self.rebuilds.clone());
        r.register("ranking_comparisons", "Comparisons of the rankings with the ledger", self.reconciled.clone());
        r.register("ranking_drift", "Standings found to differ from the ledger's, and mended", self.drift.clone());
        r.register("commit_updates", "Score updates per ledger transaction", self.commit_size.clone());
        r.register("viewers", "Connected stream viewers", self.viewers.clone());
        r.register("messages_delivered", "Messages handed to viewers", self.delivered.clone());
        r.register("viewer_resets", "Cursors that could not be honoured", self.resets.clone());
        r.register_with_unit(
            "publish_to_viewer",
            "From publication to the viewer's connection",
            Unit::Seconds,
            self.publish_to_viewer.clone(),
        );
        r.register("connections", "Open connections", self.connections.clone());
        r.register("connections_refused", "Connections refused at a limit", self.refused.clone());
        r.register("waiting_requests", "Requests that wait for their update's decision", self.waiting.clone());
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: formatting into a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
