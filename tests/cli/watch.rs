//! `scorewire watch`: topics in the terminal.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Deployment, Follower, Relay, Storage, TestApp};

fn watch(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.args(["watch", "--url", url]).args(arguments).env_remove("SCOREWIRE_TOKEN");
    command
}

async fn server() -> TestApp {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_a_line_until_ctrl_c() {
    let app = server().await;
    let mut lines = Follower::start(&mut watch(&app.url, &["scores"]));
    let first = lines.line().await.expect("a line");
    let (time, rest) = first.split_once(' ').expect("a time");
    assert_eq!((time.len(), time.matches(':').count()), ("12:00:01.234".len(), 2), "{first}");
    assert!(rest.starts_with("scores snapshot #") && rest.ends_with(" 1. user 1 0"), "{first}");
    app.decided(1, 7).await;
    let update = lines.line().await.expect("a line");
    assert!(update.contains(" scores update #") && update.ends_with(" user 1 +7 to 7, rank 1"), "{update}");
    assert!(lines.interrupt().await, "Ctrl-C is no failure");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_come_back_after_a_break_without_a_gap() {
    let app = server().await;
    let goal = |minute: u32| json!({ "minute": minute });
    app.note("match:1", "goal", &goal(0)).await;
    let relay = Relay::to(app.server.address).await;
    // In this order the match has begun when the board's snapshot comes.
    let mut lines = Follower::start(&mut watch(&relay.url, &["match:1", "scores", "--json", "--no-conflate"]));
    let snapshot = lines.json().await;
    assert_eq!((&snapshot["topic"], &snapshot["event"]), (&"scores".into(), &"snapshot".into()));
    app.note("match:1", "goal", &goal(1)).await;
    let (mut board, mut minutes) = (Vec::new(), vec![lines.json().await["data"]["minute"].clone()]);
    for round in 0..3 {
        relay.cut();
        app.note("match:1", "goal", &goal(2 + round)).await;
        app.decided(1, 1).await;
        app.decided(1, 1).await;
        for _ in 0..5 {
            let message = lines.json().await;
            match message["topic"].as_str() {
                Some("scores") => board.push(offset(&message)),
                _ => minutes.push(message["data"]["minute"].clone()),
            }
        }
    }
    let first = offset(&snapshot);
    assert_eq!(board, (first + 1..=first + 12).collect::<Vec<_>>());
    assert_eq!(minutes, [1, 2, 3, 4]);
    assert!(lines.interrupt().await);
    app.finish().await;
}

fn offset(message: &Value) -> u64 {
    let id = message["id"].as_str().unwrap_or_else(|| panic!("an id in {message}"));
    id.rsplit_once(':').expect("epoch:offset").1.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_lost_is_told() {
    let app = TestApp::on(Storage::empty(Deployment::Embedded).await, |_| {}).await;
    app.add_user(1).await;
    let relay = Relay::to(app.server.address).await;
    let mut lines = Follower::start(&mut watch(&relay.url, &["scores", "--json"]));
    assert_eq!(lines.json().await["event"], "snapshot");
    let TestApp { server, storage, .. } = app;
    server.stop().await;
    // Embedded, a restart begins a new epoch.
    let app = TestApp::on(storage, |_| {}).await;
    relay.lead_to(app.server.address);
    let reset = lines.json().await;
    assert_eq!((&reset["type"], &reset["reason"]), (&"reset".into(), &"epoch-changed".into()));
    assert_eq!(lines.json().await["event"], "snapshot");
    assert!(lines.interrupt().await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_followed_ends_with_the_servers_words() {
    let app = server().await;
    let output = watch(&app.url, &["weather"]).output().await.expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success() && said.contains("404") && said.contains("there is no such topic"), "{said}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_is_no_failure() {
    let app = server().await;
    let mut lines = Follower::start(&mut watch(&app.url, &["scores"]));
    lines.line().await.expect("a line");
    let ended = tokio::spawn(lines.deaf());
    while !ended.is_finished() {
        app.decided(1, 1).await;
    }
    assert!(ended.await.expect("no panic"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_feed_are_lines_too() {
    let feed = "[[feeds]]\nname = \"btc-usd\"\nurl = \"http://127.0.0.1:1/\"\nfetch_every = \"1h\"";
    let app = TestApp::with_feeds(Storage::empty(Deployment::of_this_run()).await, feed, |_| {}).await;
    app.publish("btc-usd", json!({ "price": 1.5 })).await;
    let mut lines = Follower::start(&mut watch(&app.url, &["feed:btc-usd"]));
    let first = lines.line().await.expect("a line");
    assert!(first.contains(" feed:btc-usd snapshot #1 {\"price\":1.5} of "), "{first}");
    app.publish("btc-usd", json!({ "price": 2 })).await;
    let second = lines.line().await.expect("a line");
    assert!(second.contains(" feed:btc-usd value #2 {\"price\":2} of "), "{second}");
    assert!(lines.interrupt().await, "Ctrl-C is no failure");
    app.finish().await;
}
