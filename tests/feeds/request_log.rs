//! The log of requests to sources is kept for as long as the settings say.

use std::time::Duration;

use scorewire_core::domain::{FeedName, JobId, Micros};
use scorewire_core::ports::{Clock, SourceRequestRecord, SystemClock};

use crate::support::{TestApp, eventually};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn requests_past_their_retention_are_forgotten() {
    let app = TestApp::start().await;
    let log = &app.server.wiring.request_log;
    let request = |n: i64, age_us: i64| SourceRequestRecord {
        id: format!("01J{n:03}"),
        feed: FeedName::parse("match").expect("a name"),
        url: "https://example.com/".to_owned(),
        at: Micros(SystemClock.now().0 - age_us),
        status: Some(200),
        latency: Duration::from_millis(12),
        bytes: 2,
        outcome: "value".to_owned(),
        detail: None,
        job: JobId::new("01JOB"),
        attempt: 1,
    };
    // More than go at once.
    let old: Vec<_> = (1..=250).map(|n| request(n, 8 * DAY_US)).collect();
    let kept = [request(902, 0), request(901, 6 * DAY_US)];
    log.record(&[&old[..], &kept].concat()).await.expect("recorded");
    eventually("the old ones to be gone", || async {
        let left = log.list(None, None, 1_000).await.expect("a page").requests;
        (left == kept).then_some(())
    })
    .await;
    app.finish().await;
}
