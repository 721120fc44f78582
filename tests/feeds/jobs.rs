//! Fetch jobs that are late, strange or interrupted.

use scorewire_core::domain::{FeedName, Micros};
use scorewire_core::ports::{Clock, Enqueued, JobKind, NewJob, SystemClock};
use scorewire_core::queue::FetchPayload;
use serde_json::Value;

use super::{Upstreams, client, served_feeds};
use crate::support::{Deployment, ServerProcess, Storage, TestApp, eventually};

/// A server that fetches at its start and then not for long, with what it asked for counted.
async fn quiet(upstreams: &Upstreams) -> TestApp {
    let feeds = served_feeds(&upstreams.url, "").replace("fetch_every = \"100ms\"", "fetch_every = \"1d\"");
    let app = TestApp::with_feeds(Storage::empty(Deployment::of_this_run()).await, &feeds, |_| {}).await;
    eventually("the first fetches", || async {
        let asked = (upstreams.requests("reqres").await, upstreams.requests("coindesk").await);
        let queued = app.server.wiring.queue.stats(JobKind::Fetch).await.expect("statistics").depth;
        (asked == (1, 1) && queued == 0).then_some(())
    })
    .await;
    app
}

fn job(claim: &str, payload: Vec<u8>) -> NewJob {
    let claim_until = Micros(SystemClock.now().0 + 60_000_000);
    NewJob { kind: JobKind::Fetch, claim: claim.to_owned(), payload, claim_until, slot: None, replaces: false }
}

async fn enqueue(app: &TestApp, claim: &str, payload: Vec<u8>) -> String {
    match app.server.wiring.unique_jobs.enqueue(job(claim, payload)).await.expect("queued") {
        Enqueued::Queued(id) => id.to_string(),
        other => panic!("not queued: {other:?}"),
    }
}

async fn skipped(app: &TestApp, feed: &str, reason: &str) {
    let line = format!("scorewire_feed_skipped_total{{feed=\"{feed}\",reason=\"{reason}\"}} 1");
    eventually(&line, || async {
        app.get("/metrics").await.text().await.expect("text").lines().any(|other| other == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_whose_tick_is_over_asks_nobody_and_is_done() {
    let upstreams = Upstreams::start(&[]).await;
    let app = quiet(&upstreams).await;
    let feed = FeedName::parse("match").expect("a name");
    let over = Micros(SystemClock.now().0 - 1);
    enqueue(&app, "match", FetchPayload::new(feed.clone(), Some(over), None).encode()).await;
    skipped(&app, "match", "late").await;
    assert_eq!(upstreams.requests("reqres").await, 1);
    eventually("the claim to be free again", || async {
        let job = job("match", FetchPayload::new(feed.clone(), None, None).encode());
        let enqueued = app.server.wiring.unique_jobs.enqueue(job).await.expect("an answer");
        matches!(enqueued, Enqueued::Queued(_)).then_some(())
    })
    .await;
    eventually("a fetch that is not late", || async { (upstreams.requests("reqres").await == 2).then_some(()) }).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_of_a_feed_that_is_not_configured_here_is_let_go() {
    let upstreams = Upstreams::start(&[]).await;
    let app = quiet(&upstreams).await;
    let nasa = FeedName::parse("nasa").expect("a name");
    enqueue(&app, "nasa", FetchPayload::new(nasa, None, None).encode()).await;
    skipped(&app, "nasa", "unknown-feed").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_can_not_be_read_is_parked_for_a_person() {
    let upstreams = Upstreams::start(&[]).await;
    let app = quiet(&upstreams).await;
    let id = enqueue(&app, "match", b"garbage \xff".to_vec()).await;
    let letters = eventually("the letter", || async {
        let path = "/admin/jobs?kind=fetch&state=dead";
        let answer = app.request(reqwest::Method::GET, path).bearer_auth(app.admin()).send().await.expect("an answer");
        let page: Value = answer.json().await.expect("JSON");
        page["jobs"].as_array().filter(|jobs| !jobs.is_empty()).cloned()
    })
    .await;
    assert_eq!((letters.len(), &letters[0]["id"], &letters[0]["kind"]), (1, &id.into(), &"fetch".into()));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_fetches_goes_on_when_it_is_back() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    upstreams.configure(&served_feeds(&upstreams.url, "").replace("\"100ms\"", "\"500ms\""));
    let config = upstreams.dir.path().join("scorewire.toml");
    let (data, config) = (upstreams.dir.path().join("data"), config.to_str().expect("text").to_owned());
    let arguments = ["--config", &config];
    let start = || ServerProcess::start(&data, &arguments);
    let mut server = start().await;
    let feed = async |server: &ServerProcess| -> Value {
        let answer = client().get(format!("{}/feeds/btc-usd", server.url)).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    let mut last = eventually("a price", || async { Some(feed(&server).await).filter(|f| f["id"].is_string()) }).await;
    for _ in 0..3 {
        upstreams.fault("coindesk", "slow").await;
        let asked = upstreams.requests("coindesk").await;
        eventually("a fetch", || async { (upstreams.requests("coindesk").await > asked).then_some(()) }).await;
        server.kill().await;
        upstreams.fault("coindesk", "none").await;
        server = start().await;
        let id = |feed: &Value| {
            let id = feed["id"].as_str().and_then(|id| id.split_once(':')).expect("a place");
            (id.0.to_owned(), id.1.parse::<u64>().expect("a number"))
        };
        let newer = eventually("a newer price", || async {
            Some(feed(&server).await).filter(|feed| feed["value"] != last["value"] && feed["failure"].is_null())
        })
        .await;
        assert!(id(&newer).0 == id(&last).0 && id(&newer).1 > id(&last).1, "the topic goes on: {last} {newer}");
        last = newer;
    }
    server.terminate().await;
}
