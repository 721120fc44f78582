//! Other people's client libraries, and our own module in Node, against a real server.
//!
//! They need Python, Node and their packages, so they are apart from `make test`: `make clients` installs the packages,
//! says in SCOREWIRE_CLIENTS where, and runs these ignored tests.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Follower, Relay, TestApp};

/// A program of `clients/` at this server, resuming from an id.
fn program(name: &str, url: &str, last_event_id: Option<&str>) -> Command {
    let folder = std::env::var_os("SCOREWIRE_CLIENTS").expect("`make clients` says where the clients are");
    let folder = PathBuf::from(folder);
    let mut command = match name.rsplit_once('.').expect("an extension").1 {
        "py" => Command::new(folder.join("python/venv/bin/python")),
        _ => Command::new("node"),
    };
    command.arg(folder.join(name)).args([url, "scores"]).args(last_event_id);
    command
}

/// A server with a user, and how often its score was changed.
async fn server() -> TestApp {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app
}

/// Changes the score, and takes what the client gets of it.
async fn change(app: &TestApp, client: &mut Follower, times: usize, seen: &mut Vec<Value>) {
    for _ in 0..times {
        app.decided(1, 1).await;
        take(client, 2, seen).await;
    }
}

async fn take(client: &mut Follower, messages: usize, seen: &mut Vec<Value>) {
    for _ in 0..messages {
        seen.push(client.json().await);
    }
}

fn last_id(seen: &[Value]) -> String {
    seen.last().and_then(|message| message["id"].as_str()).expect("an id").to_owned()
}

/// What was seen after the snapshot is what the topic says: all of it, in order, once.
async fn whole(app: TestApp, seen: &[Value]) {
    assert_eq!(seen[0]["event"], "snapshot", "{seen:?}");
    let mut topic = app.stream("", seen[0]["id"].as_str()).await;
    let mut expected = Vec::new();
    while expected.len() + 1 < seen.len() {
        let event = topic.next().await.expect("an event");
        expected.push(json!({ "id": event.id, "event": event.event, "data": event.data }));
    }
    assert_eq!(seen[1..], expected);
    drop(topic);
    app.finish().await;
}

/// A client that ends with its connection, or is killed, and is started again with the last id it printed.
async fn is_killed_and_resumes(name: &str) {
    let app = server().await;
    let mut seen = Vec::new();
    let mut client = Follower::start(&mut program(name, &app.url, None));
    take(&mut client, 1, &mut seen).await;
    change(&app, &mut client, 4, &mut seen).await;
    client.kill().await;
    for _ in 0..4 {
        app.decided(1, 1).await;
    }
    let relay = Relay::to(app.server.address).await;
    let mut client = Follower::start(&mut program(name, &relay.url, Some(&last_id(&seen))));
    take(&mut client, 8, &mut seen).await;
    change(&app, &mut client, 2, &mut seen).await;
    relay.cut();
    assert_eq!(client.line().await, None, "it notices");
    client.deaf().await;
    let mut client = Follower::start(&mut program(name, &app.url, Some(&last_id(&seen))));
    change(&app, &mut client, 2, &mut seen).await;
    client.kill().await;
    assert_eq!(seen.len(), 1 + 2 * (4 + 4 + 2 + 2));
    whole(app, &seen).await;
}

/// A client that comes back by itself when its connection is cut; killed, it goes on from an id, too.
async fn comes_back_by_itself(name: &str, variables: &[(&str, &str)]) {
    let app = server().await;
    let relay = Relay::to(app.server.address).await;
    let mut seen = Vec::new();
    let mut client = Follower::start(program(name, &relay.url, None).envs(variables.iter().copied()));
    take(&mut client, 1, &mut seen).await;
    change(&app, &mut client, 4, &mut seen).await;
    for _ in 0..2 {
        relay.cut();
        change(&app, &mut client, 4, &mut seen).await;
    }
    client.kill().await;
    for _ in 0..4 {
        app.decided(1, 1).await;
    }
    let again = &mut program(name, &relay.url, Some(&last_id(&seen)));
    let mut client = Follower::start(again.envs(variables.iter().copied()));
    take(&mut client, 8, &mut seen).await;
    client.kill().await;
    assert_eq!(seen.len(), 1 + 2 * (4 + 8 + 4));
    whole(app, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn pythons_httpx_sse() {
    is_killed_and_resumes("python/sse.py").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn pythons_websockets() {
    is_killed_and_resumes("python/ws.py").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn nodes_ws() {
    is_killed_and_resumes("node/ws.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn nodes_eventsource() {
    comes_back_by_itself("node/eventsource.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn our_module_over_websocket() {
    comes_back_by_itself("node/scorewire.mjs", &[("TRANSPORT", "websocket")]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn our_module_over_server_sent_events() {
    comes_back_by_itself("node/scorewire.mjs", &[("TRANSPORT", "sse")]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make clients"]
async fn our_module_as_it_chooses() {
    comes_back_by_itself("node/scorewire.mjs", &[]).await;
}
