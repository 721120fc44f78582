//! Fetches at a person's wish: durable, one at a time, and accounted for.

use reqwest::{Method, StatusCode};
use scorewire::http::auth::Scope;
use serde_json::Value;

use super::{Upstreams, served_feeds};
use crate::support::{Deployment, Storage, TestApp, eventually};

/// A server that fetches once at its start, and then when it is asked to.
async fn seldom(upstreams: &Upstreams) -> TestApp {
    let feeds = served_feeds(&upstreams.url, "").replace("fetch_every = \"100ms\"", "fetch_every = \"1d\"");
    let storage = Storage::empty(Deployment::of_this_run()).await;
    let app = TestApp::with_feeds(storage, &feeds, |_| {}).await;
    for name in ["match", "btc-usd"] {
        eventually("the first fetch", || async {
            let feed: Value = app.get(&format!("/feeds/{name}")).await.json().await.expect("JSON");
            (!feed["value"].is_null()).then_some(())
        })
        .await;
    }
    app
}

async fn ask(app: &TestApp, feed: &str) -> reqwest::Response {
    let token = app.token("ann", &[Scope::Feeds]);
    let path = format!("/feeds/{feed}/fetch");
    app.request(Method::POST, &path).bearer_auth(token).send().await.expect("an answer")
}

async fn fetch(app: &TestApp, location: &str) -> (StatusCode, Value) {
    let token = app.token("ann", &[Scope::Feeds]);
    let answer = app.request(Method::GET, location).bearer_auth(token).send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn done(app: &TestApp, location: &str) -> Value {
    eventually("the fetch to be done", || async {
        let (status, fetch) = fetch(app, location).await;
        (status == 200 && fetch["state"] == "done").then_some(fetch)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_is_queued_done_and_found_by_its_location() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = seldom(&upstreams).await;
    let asked = upstreams.requests("coindesk").await;
    let answer = ask(&app, "btc-usd").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("/fetches/{}", body["id"].as_str().expect("an id")));
    let done = done(&app, &location).await;
    let [request] = &done["requests"].as_array().expect("requests")[..] else { panic!("one request: {done}") };
    assert_eq!(
        (&done["feed"], &request["outcome"], &request["status"]),
        (&"btc-usd".into(), &"value".into(), &200.into())
    );
    assert!(request["bytes"].as_u64() > Some(100) && request["latencySeconds"].as_f64() > Some(0.0), "{request}");
    assert_eq!(upstreams.requests("coindesk").await, asked + 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_one_is_under_way_gets_that_one() {
    let upstreams = Upstreams::start(&[]).await;
    let app = seldom(&upstreams).await;
    upstreams.fault("reqres", "slow").await;
    let asked = upstreams.requests("reqres").await;
    let first: Value = ask(&app, "match").await.json().await.expect("JSON");
    eventually("the source to be asked", || async { (upstreams.requests("reqres").await > asked).then_some(()) }).await;
    for _ in 0..3 {
        let other: Value = ask(&app, "match").await.json().await.expect("JSON");
        assert_eq!((&other["id"], &other["coalesced"]), (&first["id"], &true.into()));
    }
    assert_eq!(upstreams.requests("reqres").await, asked + 1);
    let (_, fetch) = fetch(&app, &format!("/fetches/{}", first["id"].as_str().expect("an id"))).await;
    assert_eq!(fetch["state"], "running", "{fetch}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_may_succeed_soon_is_tried_again() {
    let upstreams = Upstreams::start(&[]).await;
    let app = seldom(&upstreams).await;
    upstreams.fault("reqres", "500").await;
    let answer = ask(&app, "match").await;
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    eventually("the first try", || async {
        let (_, fetch) = fetch(&app, &location).await;
        fetch["requests"].as_array().is_some_and(|requests| !requests.is_empty()).then_some(())
    })
    .await;
    upstreams.fault("reqres", "none").await;
    let done = done(&app, &location).await;
    let outcomes: Vec<_> = done["requests"].as_array().expect("requests").iter().map(|r| &r["outcome"]).collect();
    assert!(outcomes.len() > 1 && outcomes[0] == "server-error", "{done}");
    assert_eq!(outcomes.last(), Some(&&Value::from("not-modified")));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_refused() {
    let upstreams = Upstreams::start(&[]).await;
    let app = seldom(&upstreams).await;
    let post = async |path: &str, token: Option<String>| {
        let request = app.request(Method::POST, path);
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.expect("an answer").status().as_u16()
    };
    let feeds = || Some(app.token("ann", &[Scope::Feeds]));
    assert_eq!(post("/feeds/match/fetch", None).await, 401);
    assert_eq!(post("/feeds/match/fetch", Some(app.token("ann", &[Scope::AnyScores]))).await, 403);
    assert_eq!(post("/feeds/nasa/fetch", feeds()).await, 404);
    let get = async |path: &str, token: String| {
        app.request(Method::GET, path).bearer_auth(token).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(get("/feeds/match/requests", app.token("ann", &[Scope::Feeds])).await, 403);
    assert_eq!(get("/feeds/match/requests", app.admin()).await, 200);
    assert_eq!(get("/feeds/match/requests?limit=0", app.admin()).await, 400);
    assert_eq!(get("/fetches/01J00000000000000000000000", app.token("ann", &[Scope::Feeds])).await, 404);
    assert_eq!(get("/fetches/%27", app.token("ann", &[Scope::Feeds])).await, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_requests_has_pages_and_no_secrets() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let url = format!("{}/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD&api_key=s3cret", upstreams.url);
    let feeds = format!("[[feeds]]\nname = \"btc\"\nurl = \"{url}\"\nfetch_every = \"100ms\"\n");
    let storage = Storage::empty(Deployment::of_this_run()).await;
    let app = TestApp::with_feeds(storage, &feeds, |_| {}).await;
    let page = async |query: &str| -> Value {
        let path = format!("/feeds/btc/requests{query}");
        let answer = app.request(Method::GET, &path).bearer_auth(app.admin()).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    eventually("five requests", || async {
        (page("").await["requests"].as_array().is_some_and(|requests| requests.len() >= 5)).then_some(())
    })
    .await;
    let newest = page("?limit=2").await;
    assert!(!newest.to_string().contains("s3cret") && newest.to_string().contains("api_key=***"), "{newest}");
    let next = newest["next"].as_str().expect("more");
    let older = page(&format!("?limit=2&after={next}")).await;
    let ids: Vec<_> = [&newest, &older]
        .into_iter()
        .flat_map(|page| page["requests"].as_array().expect("requests"))
        .map(|request| request["id"].as_str().expect("an id"))
        .collect();
    assert!(ids.len() == 4 && ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");
    app.finish().await;
}
