//! Sources that fail while a server publishes them: seen everywhere, harming nobody else, and over by themselves.

use scorewire::http::auth::Scope;
use serde_json::{Value, json};

use super::{FAULTS, Upstreams, served_feeds};
use crate::support::{Deployment, Storage, TestApp, eventually};

async fn feed(app: &TestApp, name: &str) -> Value {
    app.get(&format!("/feeds/{name}")).await.json().await.expect("JSON")
}

async fn feed_when(app: &TestApp, name: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{name}: {what}"), || async { Some(feed(app, name).await).filter(|feed| so(feed)) }).await
}

async fn logged(app: &TestApp, name: &str, outcome: &str) -> Value {
    eventually(&format!("{outcome} in the log of {name}"), || async {
        let path = format!("/feeds/{name}/requests");
        let answer = app.request(reqwest::Method::GET, &path).bearer_auth(app.admin()).send().await.expect("an answer");
        let log: Value = answer.json().await.expect("JSON");
        log["requests"].as_array().expect("requests").iter().find(|row| row["outcome"] == outcome).cloned()
    })
    .await
}

/// The value of a metric of a feed.
async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = app.get("/metrics").await.text().await.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_seen_harms_nobody_and_heals() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let storage = Storage::empty(Deployment::of_this_run()).await;
    let short = |text: &str| Some(text.parse().expect("a time"));
    let app = TestApp::with_feeds(storage, &served_feeds(&upstreams.url, ""), |settings| {
        settings.source_timeout = short("1s");
        // So that the test need not wait for long back-offs; what they do has tests of its own.
        settings.source_backoff_max = short("200ms");
        settings.source_retry_after_max = short("200ms");
    })
    .await;
    let mut healthy = feed_when(&app, "match", "its first value", |feed| !feed["value"].is_null()).await;
    for (fault, outcome) in FAULTS {
        let other = feed_when(&app, "btc-usd", "a value", |feed| feed["value"].is_object()).await;
        upstreams.fault("reqres", fault).await;
        let sick = feed_when(&app, "match", fault, |feed| feed["failure"]["reason"] == outcome).await;
        for key in ["value", "id", "changedAt"] {
            assert_eq!(sick[key], healthy[key], "{fault}: the last value stays");
        }
        assert_eq!(sick["stale"], json!(true), "{fault}");
        assert!(sick["ageSeconds"].as_f64() > Some(0.0), "{sick}");
        assert!(sick["failure"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{sick}");
        let row = logged(&app, "match", outcome).await;
        assert!(row["url"].as_str().is_some_and(|url| url.ends_with("/api/users/2")), "{row}");
        let fetches = format!("scorewire_feed_fetches_total{{feed=\"match\",outcome=\"{outcome}\"}}");
        assert!(metric(&app, &fetches).await >= 1.0, "{fetches}");
        assert_eq!(metric(&app, "scorewire_feed_stale{feed=\"match\"}").await, 1.0);
        feed_when(&app, "btc-usd", "goes on", |feed| feed["id"] != other["id"] && feed["stale"] == json!(false)).await;
        upstreams.fault("reqres", "none").await;
        healthy =
            feed_when(&app, "match", "healed", |feed| feed["failure"].is_null() && feed["stale"] == json!(false)).await;
        assert_eq!(healthy["value"]["data"], sick["value"]["data"]);
        assert_eq!(metric(&app, "scorewire_feed_failures_in_row{feed=\"match\"}").await, 0.0);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_source_is_left_alone_for_longer_and_longer() {
    let upstreams = Upstreams::start(&["--fault", "reqres=500"]).await;
    let storage = Storage::empty(Deployment::of_this_run()).await;
    let app = TestApp::with_feeds(storage, &served_feeds(&upstreams.url, ""), |_| {}).await;
    // 3 failures, then back-off from 100 ms doubling: after 8 it rests for 1.6 s at least.
    let resting = feed_when(&app, "match", "left alone", |feed| {
        feed["failure"]["inRow"].as_u64() >= Some(8) && !feed["restsUntil"].is_null()
    })
    .await;
    let token = app.token("ann", &[Scope::Feeds]);
    let post = app.request(reqwest::Method::POST, "/feeds/match/fetch").bearer_auth(token).send().await;
    let post = post.expect("an answer");
    assert_eq!(post.status(), 503, "{resting}");
    assert!(post.headers().contains_key("retry-after"));
    let problem: Value = post.json().await.expect("JSON");
    assert_eq!(problem["type"], "/problems/source-resting");
    let skipped = "scorewire_feed_skipped_total{feed=\"match\",reason=\"resting\"}";
    eventually("skipped fetches to be counted", || async { (metric(&app, skipped).await >= 1.0).then_some(()) }).await;
    assert_eq!(feed(&app, "btc-usd").await["failure"], Value::Null);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_stands_still_is_stale_where_it_should_move() {
    let upstreams = Upstreams::start(&["--tick", "1h"]).await;
    let storage = Storage::empty(Deployment::of_this_run()).await;
    let feeds = served_feeds(&upstreams.url, "max_unchanged = \"1s\"");
    let app = TestApp::with_feeds(storage, &feeds, |_| {}).await;
    let still = feed_when(&app, "btc-usd", "stale", |feed| feed["stale"] == json!(true)).await;
    assert_eq!(still["failure"], Value::Null, "the source answers: {still}");
    app.finish().await;
}
