//! The pages in a real browser: headless Chromium, driven over WebDriver.

mod driver;
mod feeds;
mod streams;

use std::time::Duration;

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use self::driver::Browser;
use crate::support::{Nginx, Relay, TestApp, eventually};

/// The rows as the page shows them: [user id, rank, score digits].
const ROWS: &str = "return [...document.querySelectorAll('tr[data-user-id]')].map(row => [
    row.dataset.userId,
    row.querySelector('[data-cell=rank]').textContent.replace(/\\D/g, ''),
    row.querySelector('[data-cell=score]').textContent.replace(/\\D/g, ''),
]);";

async fn rows(page: &Client) -> Value {
    page.execute(ROWS, vec![]).await.expect("the page runs scripts")
}

async fn rows_become(page: &Client, expected: Value) {
    let last = std::sync::Mutex::new(Value::Null);
    let shown = eventually("the rows", || async {
        let rows = rows(page).await;
        let done = rows == expected;
        *last.lock().expect("a lock") = rows;
        done.then_some(())
    });
    if tokio::time::timeout(Duration::from_secs(20), shown).await.is_err() {
        panic!("the page shows {}, not {expected}", last.lock().expect("a lock"));
    }
}

async fn connection_becomes(page: &Client, state: &str) {
    let selector = format!("#connection[data-state={state}]");
    page.wait().at_most(Duration::from_secs(20)).for_element(Locator::Css(&selector)).await.expect("the state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_update_moves_a_row_without_a_reload() {
    let app = TestApp::start().await;
    for (id, score) in [(1, 30), (2, 20), (3, 10)] {
        app.add_user(id).await;
        app.decided(id, score).await;
    }
    let browser = Browser::start().await;
    let page = &browser.page;
    page.goto(&app.url).await.expect("the page opens");
    connection_becomes(page, "live").await;
    rows_become(page, json!([["1", "1", "30"], ["2", "2", "20"], ["3", "3", "10"]])).await;
    page.execute("window.openedOnce = true; window.row = document.querySelector('tr[data-user-id=\"3\"]')", vec![])
        .await
        .expect("a mark");

    app.accepted(3, 15, None).await;
    rows_become(page, json!([["1", "1", "30"], ["3", "2", "25"], ["2", "3", "20"]])).await;
    app.accepted(2, 10, None).await;
    rows_become(page, json!([["1", "1", "30"], ["2", "1", "30"], ["3", "3", "25"]])).await;
    let same = "return [window.openedOnce, window.row === document.querySelector('tr[data-user-id=\"3\"]')]";
    assert_eq!(page.execute(same, vec![]).await.expect("a mark"), json!([true, true]), "the same page, the same row");
    assert_eq!(browser.errors().await, Vec::<String>::new());
    browser.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_back_to_a_restarted_server_by_itself() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let relay = Relay::to(app.server.address).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    page.goto(&relay.url).await.expect("the page opens");
    connection_becomes(page, "live").await;
    let storage = {
        let TestApp { server, storage, .. } = app;
        server.stop().await;
        storage
    };
    connection_becomes(page, "reconnecting").await;
    let app = TestApp::on(storage, |_| {}).await;
    relay.lead_to(app.server.address);
    connection_becomes(page, "live").await;
    app.accepted(1, 7, None).await;
    rows_become(page, json!([["1", "1", "7"]])).await;
    browser.close().await;
    app.finish().await;
}

/// Follows a board by this transport at this address, through a restart of the server behind the relay.
async fn the_page_follows(url: &str, transport: &str, app: TestApp, relay: &Relay) {
    app.add_user(1).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    page.goto(url).await.expect("the page opens");
    let live = format!("#connection[data-state=live][data-transport={transport}]");
    // Behind a proxy that answers for an absent server, both transports are tried in turn, with growing waits.
    let wait = || page.wait().at_most(Duration::from_secs(40));
    wait().for_element(Locator::Css(&live)).await.expect("the transport");
    rows_become(page, json!([["1", "1", "0"]])).await;
    app.decided(1, 7).await;
    rows_become(page, json!([["1", "1", "7"]])).await;
    let TestApp { server, storage, .. } = app;
    server.stop().await;
    connection_becomes(page, "reconnecting").await;
    let app = TestApp::on(storage, |_| {}).await;
    relay.lead_to(app.server.address);
    app.decided(1, 7).await;
    wait().for_element(Locator::Css("#connection[data-state=live]")).await.expect("live again");
    rows_become(page, json!([["1", "1", "14"]])).await;
    browser.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_follows_over_websocket() {
    let app = TestApp::start().await;
    let relay = Relay::to(app.server.address).await;
    the_page_follows(&relay.url, "websocket", app, &relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_follows_over_server_sent_events_when_told_to() {
    let app = TestApp::start().await;
    let relay = Relay::to(app.server.address).await;
    the_page_follows(&format!("{}/?transport=sse", relay.url), "sse", app, &relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_follows_through_a_proxy_that_blocks_websocket() {
    let app = TestApp::start().await;
    let relay = Relay::to(app.server.address).await;
    let nginx = Nginx::without_upgrades(relay.address).await;
    the_page_follows(&nginx.url, "sse", app, &relay).await;
}
