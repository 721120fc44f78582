//! The page `/feeds`: cards with live charts, over imitated sources whose faults are switched.

use std::sync::Mutex;
use std::time::Duration;

use fantoccini::Client;
use serde_json::{Value, json};

use super::connection_becomes;
use super::driver::Browser;
use crate::feeds::Upstreams;
use crate::support::{Deployment, Storage, TestApp, eventually};

/// What a feed's card shows: numbers, how many points its chart lets one look at, marks, and words.
const CARD: &str = "const card = document.querySelector(`[data-feed='${arguments[0]}']`);
    if (!card) return null;
    const part = (name) => card.querySelector(`[data-part=${name}]`);
    const text = (name) => part(name).hidden ? null : part(name).textContent;
    return {
        number: text('latest') === null ? null : text('number'),
        path: text('path'),
        fields: Object.fromEntries([...part('fields').children].map((row) => [...row.children].map((cell) => cell.textContent))),
        points: Number(part('chart').getAttribute('aria-valuemax')) + 1,
        said: part('chart').getAttribute('aria-valuetext'),
        line: part('svg').querySelector('.line').getAttribute('d').length,
        dots: part('svg').querySelectorAll('.dot').length,
        staleBands: part('svg').querySelectorAll('.band.stale').length,
        badge: text('badge'),
        failure: text('failure'),
        summary: text('summary'),
        curl: text('curl'),
        tip: text('tip'),
        paths: [...part('paths').options].map(({ textContent }) => textContent),
    };";

async fn card(page: &Client, feed: &str) -> Value {
    page.execute(CARD, vec![json!(feed)]).await.expect("the page runs scripts")
}

/// The card once it is as expected.
async fn card_becomes(page: &Client, feed: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let last = Mutex::new(Value::Null);
    let shown = eventually(what, || async {
        let card = card(page, feed).await;
        let done = !card.is_null() && is(&card);
        *last.lock().expect("a lock") = card.clone();
        done.then_some(card)
    });
    let Ok(card) = tokio::time::timeout(Duration::from_secs(25), shown).await else {
        panic!("{what}: the card of {feed} shows {}", last.lock().expect("a lock"));
    };
    card
}

/// Fetched often, so that a test need not wait for what a fault does; the price changes with each fetch.
async fn server(upstreams: &Upstreams) -> TestApp {
    let url = &upstreams.url;
    let feeds = format!(
        r#"
source_timeout = "1s"
source_backoff_max = "1s"

[[feeds]]
name = "match"
url = "{url}/api/users/2"
fetch_every = "500ms"
transform = '.data | {{username: (.email/"@")[0], domain: (.email/"@")[1]}}'

[[feeds]]
name = "btc-usd"
url = "{url}/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD"
fetch_every = "500ms"
transform = '{{at: .Data["BTC-USD"].VALUE_LAST_UPDATE_TS, price: .Data["BTC-USD"].VALUE}}'
dedupe = '.Data["BTC-USD"].CCSEQ'
"#
    );
    let storage = Storage::empty(Deployment::of_this_run()).await;
    TestApp::with_feeds(storage, &feeds, |_| {}).await
}

async fn open(browser: &Browser, app: &TestApp, query: &str) {
    browser.page.goto(&format!("{}/feeds{query}", app.url)).await.expect("the page opens");
    connection_becomes(&browser.page, "live").await;
}

fn points(card: &Value) -> u64 {
    card["points"].as_u64().expect("a number")
}

async fn values_move_the_chart(transport: &str) {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = server(&upstreams).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    open(&browser, &app, &format!("?transport={transport}")).await;
    let first = card_becomes(page, "btc-usd", "a line", |card| points(card) >= 3 && card["line"] != 0).await;
    // `at` comes first, but is a time.
    assert_eq!((&first["path"], &first["paths"]), (&json!("price"), &json!(["at", "price"])));
    assert_eq!(first["curl"], format!("curl -N {}/feeds/btc-usd/stream", app.url));
    assert_eq!((&first["badge"], &first["failure"]), (&Value::Null, &Value::Null), "{first}");
    page.execute("window.openedOnce = true", vec![]).await.expect("a mark");
    let moved = |card: &Value| points(card) > points(&first) + 2 && card["number"] != first["number"];
    let later = card_becomes(page, "btc-usd", "newer values", moved).await;
    assert_ne!(later["summary"], first["summary"]);
    assert_eq!(page.execute("return window.openedOnce", vec![]).await.expect("a mark"), json!(true), "the same page");

    let user = card_becomes(page, "match", "a user", |card| card["dots"] != 0).await;
    assert_eq!(user["fields"], json!({ "username": "janet.weaver", "domain": "reqres.in" }));
    assert_eq!((&user["number"], &user["dots"]), (&Value::Null, &json!(1)), "it never changes: {user}");
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_move_the_chart_over_websocket() {
    values_move_the_chart("websocket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_move_the_chart_over_server_sent_events() {
    values_move_the_chart("sse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_makes_its_card_stale_with_a_reason_until_it_heals() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = server(&upstreams).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    open(&browser, &app, "").await;
    let well = card_becomes(page, "btc-usd", "a line", |card| points(card) >= 3).await;
    assert_eq!(well["staleBands"], 0);
    upstreams.fault("coindesk", "500").await;
    let stale = |card: &Value| card["badge"].as_str().is_some_and(|badge| badge.starts_with("stale, "));
    let broken = card_becomes(page, "btc-usd", "staleness", |card| stale(card) && card["staleBands"] == 1).await;
    assert!(broken["failure"].as_str().is_some_and(|said| said.starts_with("The source failed (")), "{broken}");
    assert!(broken["number"].is_string(), "it keeps its last value: {broken}");
    let other = card(page, "match").await;
    assert_eq!((&other["badge"], &other["failure"]), (&Value::Null, &Value::Null), "no other feed is harmed: {other}");

    upstreams.fault("coindesk", "none").await;
    let heals = |card: &Value| card["badge"].is_null() && card["failure"].is_null() && points(card) > points(&broken);
    let healed = card_becomes(page, "btc-usd", "healing", heals).await;
    assert_eq!(healed["staleBands"], 0, "{healed}");
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_every_value() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = server(&upstreams).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    open(&browser, &app, "").await;
    card_becomes(page, "btc-usd", "some points", |card| points(card) >= 4).await;
    let history: Value = app.get("/feeds/btc-usd/history?limit=1000").await.json().await.expect("JSON");
    let kept = history["messages"].as_array().expect("messages").len();
    card_becomes(page, "btc-usd", "its history", |card| points(card) >= kept as u64).await;
    let message = |n: usize| history["messages"][n]["data"]["price"].as_f64().expect("a price");
    // The page writes numbers as its reader does; as digits they are the same.
    let says = |card: &Value, price: f64| {
        let said = card["said"].as_str().expect("text").rsplit(": ").next().expect("a value").replace(',', "");
        said.parse::<f64>().is_ok_and(|said| said.to_bits() == price.to_bits())
    };
    page.execute("document.querySelector('[data-feed=btc-usd] [role=slider]').focus()", vec![]).await.expect("focus");
    press(page, "Home").await;
    card_becomes(page, "btc-usd", "the first value", |card| says(card, message(0))).await;
    press(page, "ArrowRight").await;
    let second = card_becomes(page, "btc-usd", "the second value", |card| says(card, message(1))).await;
    assert!(second["tip"].is_string(), "it is shown: {second}");
    press(page, "Escape").await;
    card_becomes(page, "btc-usd", "nothing", |card| card["tip"].is_null()).await;
    browser.close().await;
    app.finish().await;
}

async fn press(page: &Client, key: &str) {
    let script =
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))";
    page.execute(script, vec![json!(key)]).await.expect("a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_server_says_how_to_add_a_feed() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    let page = &browser.page;
    page.goto(&format!("{}/feeds", app.url)).await.expect("the page opens");
    let help = eventually("the help", || async {
        let script = "const empty = document.getElementById('empty'); return empty.hidden ? null : empty.textContent";
        page.execute(script, vec![]).await.expect("the page runs scripts").as_str().map(str::to_owned)
    })
    .await;
    for words in ["SOURCE_URL=", "[[feeds]]", "scorewire upstreams", "docs/FEEDS.md"] {
        assert!(help.contains(words), "{words} in {help}");
    }
    page.find(fantoccini::Locator::Css("nav a[href='/']")).await.expect("a link").click().await.expect("a click");
    connection_becomes(page, "live").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
    app.finish().await;
}
