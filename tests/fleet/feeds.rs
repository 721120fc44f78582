//! A fleet polls a source once for everybody, whoever dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::support::{Fleet, Plan};
use crate::feeds::Upstreams;
use crate::support::{eventually, full_or};

const PROCESSES: usize = 3;
const INTERVAL_US: i64 = 2_000_000;

/// Follows the feed through one process after the other, and counts what comes.
async fn follow(fleet: Arc<Fleet>, mut api: usize, received: Arc<AtomicU64>, done: CancellationToken) {
    while !done.is_cancelled() {
        let path = "/feeds/btc-usd/stream";
        if let Ok(mut answer) = fleet.http.get(format!("{}{path}", fleet.apis[api].url())).send().await {
            loop {
                tokio::select! {
                    chunk = answer.chunk() => match chunk {
                        Ok(Some(chunk)) => {
                            let messages = chunk.split(|b| *b == b'\n').filter(|line| line.starts_with(b"data: "));
                            received.fetch_add(messages.count() as u64, Ordering::Relaxed);
                        }
                        _ => break,
                    },
                    () = done.cancelled() => return,
                }
            }
        }
        api = (api + 1) % PROCESSES;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_asked_once_in_an_interval_whoever_dies() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let config = format!(
        "[[feeds]]\nname = \"btc-usd\"\nfetch_every = \"2s\"\ntransform = '.Data[\"BTC-USD\"].VALUE'\n\
         url = \"{}/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD\"\n",
        upstreams.url
    );
    let plan = Plan { apis: PROCESSES, workers: 0, role: "all", config, users: 0, ..Plan::default() };
    let fleet = Arc::new(Fleet::start(plan).await);
    let (done, received, viewers) = (CancellationToken::new(), Arc::<AtomicU64>::default(), TaskTracker::new());
    let count = full_or(1_000, 60);
    for n in 0..count {
        viewers.spawn(follow(Arc::clone(&fleet), n % PROCESSES, Arc::clone(&received), done.clone()));
    }
    let asked = async || upstreams.requests("coindesk").await;
    let asked_more = async |more: u64| {
        let before = asked().await;
        eventually("the source to be asked", || async { (asked().await >= before + more).then_some(()) }).await;
    };
    asked_more(3).await;
    for member in &fleet.apis {
        member.kill().await;
        asked_more(2).await;
        member.start().await;
        asked_more(1).await;
    }
    done.cancel();
    viewers.close();
    viewers.wait().await;
    for member in &fleet.apis {
        member.stop().await;
    }
    let at = upstreams.times("coindesk").await;
    let count_logged = "SELECT count(*) FROM source_requests";
    let logged: i64 = sqlx::query_scalar(count_logged).fetch_one(&fleet.ledger().await).await.expect("the log");
    let asked = at.len();
    // What a killed process had asked for is in nobody's log.
    let unlogged = asked.saturating_sub(usize::try_from(logged).expect("a count"));
    assert!(unlogged <= PROCESSES, "{asked} requests, {logged} logged");
    let intervals: Vec<f64> = at.windows(2).map(|two| (two[1] - two[0]) as f64 / INTERVAL_US as f64).collect();
    let longest = intervals.iter().copied().fold(0.0, f64::max);
    let span = (at[at.len() - 1] - at[0]) / INTERVAL_US;
    println!(
        "{count} viewers, {PROCESSES} processes, each killed once: {asked} requests in {span} intervals, {unlogged} not \
         logged; longest gap {longest:.2} intervals; {} messages received",
        received.load(Ordering::Relaxed)
    );
    assert!(asked as i64 <= span + 2, "{asked} requests in {span} intervals");
    assert!(longest.round() <= 2.0, "{intervals:?}");
    assert!(received.load(Ordering::Relaxed) >= count as u64, "every viewer was sent something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feeds_value_and_ring_outlive_redis_and_every_process() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let config = crate::feeds::served_feeds(&upstreams.url, "");
    let plan = Plan { apis: 1, workers: 1, config, users: 0, ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let get = async |path: &str| -> serde_json::Value {
        fleet.request(0, Method::GET, path).send().await.expect("an answer").json().await.expect("JSON")
    };
    let data = |history: &serde_json::Value| -> Vec<serde_json::Value> {
        let messages = history["messages"].as_array().expect("messages");
        messages.iter().map(|message| message["data"].clone()).collect()
    };
    eventually("some prices", || async { (data(&get("/feeds/btc-usd/history").await).len() >= 3).then_some(()) }).await;
    upstreams.fault("coindesk", "500").await;
    eventually("no more prices", || async { (!get("/feeds/btc-usd").await["failure"].is_null()).then_some(()) }).await;
    let (feed, history) = (get("/feeds/btc-usd").await, data(&get("/feeds/btc-usd/history?since=0").await));
    fleet.apis[0].kill().await;
    fleet.workers[0].kill().await;
    fleet.kill_redis().await;
    fleet.restart_redis().await;
    fleet.apis[0].start().await;
    let again = get("/feeds/btc-usd").await;
    for key in ["value", "checkedAt", "changedAt"] {
        assert_eq!(again[key], feed[key], "{key}");
    }
    assert_eq!(data(&get("/feeds/btc-usd/history?since=0").await), history);
    upstreams.fault("coindesk", "none").await;
    fleet.workers[0].start().await;
    eventually("new prices", || async {
        let now = data(&get("/feeds/btc-usd/history?since=0").await);
        (now.len() > history.len() && now.starts_with(&history)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_prices_go_on_and_their_log_is_written_later() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let config = crate::feeds::served_feeds(&upstreams.url, "");
    let fleet = Fleet::start(Plan { apis: 1, workers: 1, config, users: 0, ..Plan::default() }).await;
    let id = async || feed(&fleet).await["id"].clone();
    let news = async |count: usize| {
        for _ in 0..count {
            let before = id().await;
            eventually("a new price", || async { (id().await != before).then_some(()) }).await;
        }
    };
    news(2).await;
    fleet.kill_postgres().await;
    news(10).await;
    fleet.restart_postgres().await;
    // Nothing is asked any more, so what was asked can be counted.
    for service in ["reqres", "coindesk"] {
        upstreams.fault(service, "401").await;
    }
    let ledger = fleet.ledger().await;
    let logged = eventually("every request to be in the log", || async {
        let count = "SELECT count(*) FROM source_requests WHERE feed = 'btc-usd'";
        let logged: i64 = sqlx::query_scalar(count).fetch_one(&ledger).await.ok()?;
        // One may be under way.
        (upstreams.requests("coindesk").await.abs_diff(logged.unsigned_abs()) <= 1).then_some(logged)
    })
    .await;
    assert!(logged >= 12, "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_the_last_value_is_shown_as_stale() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let config = crate::feeds::served_feeds(&upstreams.url, "");
    let fleet = Fleet::start(Plan { apis: 1, workers: 1, config, users: 0, ..Plan::default() }).await;
    eventually("a price", || async { (!feed(&fleet).await["value"].is_null()).then_some(()) }).await;
    fleet.kill_redis().await;
    let shown =
        eventually("staleness", || async { Some(feed(&fleet).await).filter(|feed| feed["stale"] == true) }).await;
    assert!(shown["value"]["data"]["price"].is_f64(), "{shown}");
    fleet.restart_redis().await;
    eventually("new prices", || async {
        let feed = feed(&fleet).await;
        (feed["stale"] == false && feed["value"] != shown["value"]).then_some(())
    })
    .await;
}

async fn feed(fleet: &Fleet) -> serde_json::Value {
    fleet.get(0, "/feeds/btc-usd").await.json().await.expect("JSON")
}
