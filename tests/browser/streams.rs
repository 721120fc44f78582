//! The browser's own `EventSource` and `WebSocket`, without any code of ours between them and the server.

use fantoccini::Client;
use serde_json::Value;

use super::driver::Browser;
use crate::support::{Relay, TestApp, eventually};

/// Comes back by itself, as the standard says.
const EVENT_SOURCE: &str = "window.seen = [];
    const source = new EventSource('/topics/scores/stream');
    for (const name of ['snapshot', 'top', 'update', 'reset']) {
        source.addEventListener(name, ({ lastEventId, data }) => seen.push([name, lastEventId, JSON.parse(data)]));
    }";

/// Has to be opened anew, with the last id.
const WEB_SOCKET: &str = "window.seen = [];
    let last;
    const open = () => {
        const socket = new WebSocket(`ws://${location.host}/ws`, 'scorewire.v1');
        socket.onopen = () => socket.send(JSON.stringify({ type: 'subscribe', topic: 'scores', last_event_id: last }));
        socket.onmessage = ({ data }) => {
            const { type, id, event, ...rest } = JSON.parse(data);
            if (type === 'message') last = id;
            if (type === 'message') seen.push([event, id, rest.data]);
            else if (type === 'reset') seen.push(['reset', id, rest]);
        };
        socket.onclose = () => setTimeout(open, 100);
    };
    open();";

async fn seen(page: &Client) -> Vec<(String, String, Value)> {
    let seen = page.execute("return window.seen", vec![]).await.expect("the page runs scripts");
    serde_json::from_value(seen).expect("what was seen")
}

/// Waits until the page has been told of a score.
async fn knows(page: &Client, score: i64) {
    eventually("the score", || async {
        let seen = seen(page).await;
        let last = seen.iter().rev().find(|(event, ..)| event == "top" || event == "snapshot")?;
        (last.2[0]["score"] == score).then_some(())
    })
    .await;
}

async fn follows_through_a_restart(script: &str) {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let relay = Relay::to(app.server.address).await;
    let browser = Browser::start().await;
    let page = &browser.page;
    page.goto(&format!("{}/healthz", relay.url)).await.expect("a page of the same origin");
    page.execute(script, vec![]).await.expect("the page runs scripts");
    knows(page, 0).await;
    for score in 1..=3 {
        app.decided(1, 1).await;
        knows(page, score).await;
    }
    let TestApp { server, storage, .. } = app;
    server.stop().await;
    let app = TestApp::on(storage, |_| {}).await;
    relay.lead_to(app.server.address);
    app.decided(1, 1).await;
    knows(page, 4).await;
    app.decided(1, 1).await;
    knows(page, 5).await;

    let seen = seen(page).await;
    let resets = seen.iter().filter(|(event, ..)| event == "reset").count();
    // Embedded, a restart begins a new epoch; what Redis keeps goes on where it was.
    let forgets = app.storage.database().is_none();
    assert_eq!(resets, usize::from(forgets), "{seen:?}");
    let place = |id: &str| {
        let (epoch, offset) = id.split_once(':').expect("epoch:offset");
        (epoch.to_owned(), offset.parse::<u64>().expect("a number"))
    };
    for pair in seen.windows(2) {
        let ((before, next), event) = ((place(&pair[0].1), place(&pair[1].1)), pair[1].0.as_str());
        match (pair[0].0.as_str(), event) {
            (_, "reset") => assert_ne!(before.0, next.0, "{seen:?}"),
            ("reset", event) => assert_eq!((event, next), ("snapshot", before), "{seen:?}"),
            _ => assert_eq!(next, (before.0, before.1 + 1), "nothing left out, nothing twice: {seen:?}"),
        }
    }
    browser.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_source_comes_back_to_a_restarted_server() {
    follows_through_a_restart(EVENT_SOURCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_socket_comes_back_to_a_restarted_server() {
    follows_through_a_restart(WEB_SOCKET).await;
}
