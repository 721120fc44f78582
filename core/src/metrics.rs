//! What the server counts, for Prometheus. One instance per server: nothing global.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::feed_metrics::FeedMetrics;

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

/// How a viewer is connected.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TransportLabels {
    transport: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TopicLabels {
    topic: String,
    transport: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CloseLabels {
    code: u16,
    transport: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
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
    /// Viewers by topic and transport; a topic that nobody follows has none.
    topic_viewers: Family<TopicLabels, Gauge>,
    /// Held while a topic's count changes, so that none is dropped that somebody just raised.
    counting_topics: Mutex<()>,
    /// Bytes of messages that viewers have not been sent yet.
    pub viewer_queue_bytes: Gauge,
    /// Streams ended by the server, by close code.
    closes: Family<CloseLabels, Counter>,
    /// Places that viewers named, by whether they could be honoured.
    recoveries: Family<ResultLabels, Counter>,
    /// From a message's publication to its arrival in this process.
    pub broker_lag: Histogram,
    /// Messages handed to viewers.
    delivered: Family<TransportLabels, Counter>,
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
    /// Of feeds.
    pub feeds: FeedMetrics,
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
            topic_viewers: Family::default(),
            counting_topics: Mutex::default(),
            viewer_queue_bytes: Gauge::default(),
            closes: Family::default(),
            recoveries: Family::default(),
            broker_lag: Histogram::new(LATENCY_BUCKETS),
            delivered: Family::default(),
            resets: Counter::default(),
            publish_to_viewer: Histogram::new(LATENCY_BUCKETS),
            connections: Gauge::default(),
            refused: Counter::default(),
            waiting: Gauge::default(),
            feeds: FeedMetrics::default(),
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
        r.register("topic_viewers", "Viewers by topic and transport", self.topic_viewers.clone());
        r.register_with_unit(
            "viewer_queue",
            "Messages that viewers have not been sent yet",
            Unit::Bytes,
            self.viewer_queue_bytes.clone(),
        );
        r.register("stream_closes", "Streams ended by the server, by close code", self.closes.clone());
        r.register(
            "viewer_recoveries",
            "Places named by viewers, by whether they were honoured",
            self.recoveries.clone(),
        );
        r.register_with_unit(
            "broker_lag",
            "From publication to arrival in this process",
            Unit::Seconds,
            self.broker_lag.clone(),
        );
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
        self.feeds.register(r);
    }

    /// Counts messages handed to viewers.
    pub fn delivered(&self, transport: Transport, messages: u64) {
        self.delivered.get_or_create(&TransportLabels { transport: transport.word() }).inc_by(messages);
    }

    /// Counts a viewer that begins (1) or ends (−1) to follow a topic.
    pub fn topic_viewer(&self, topic: &str, transport: Transport, change: i64) {
        let labels = TopicLabels { topic: topic.to_owned(), transport: transport.word() };
        let counting = self.counting_topics.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.topic_viewers.get_or_create(&labels).inc_by(change) + change;
        // Names come from outside: one that nobody follows must not stay for ever.
        if left <= 0 {
            self.topic_viewers.remove(&labels);
        }
        drop(counting);
    }

    /// Counts a stream that the server ended.
    pub fn closed(&self, transport: Transport, code: u16) {
        self.closes.get_or_create(&CloseLabels { code, transport: transport.word() }).inc();
    }

    /// Counts a place that a viewer named.
    pub fn recovered(&self, honoured: bool) {
        self.recoveries.get_or_create(&ResultLabels { result: if honoured { "ok" } else { "failed" } }).inc();
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
