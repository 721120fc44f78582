//! The WebSocket: topics come and go on one socket, places are honoured, and what can not be granted is said.

use serde_json::json;

use crate::support::{Socket, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_follows_a_board_from_its_snapshot_on() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut socket = Socket::connect(app.server.address).await;
    socket.subscribe("scores", json!({})).await;
    let subscribed = socket.expect("subscribed").await;
    assert_eq!((&subscribed["topic"], &subscribed["recovered"]), (&json!("scores"), &json!(false)));
    let snapshot = socket.expect("message").await;
    assert_eq!((&snapshot["event"], &snapshot["id"]), (&json!("snapshot"), &subscribed["id"]));
    assert_eq!(snapshot["data"], json!([{ "rank": 1, "userId": 1, "user": "user 1", "score": 0 }]));
    app.decided(1, 7).await;
    let update = socket.expect("message").await;
    let data = json!({ "user": "user 1", "score": 7, "userId": 1, "rank": 1, "increment": 7 });
    assert_eq!((&update["topic"], &update["event"], &update["data"]), (&json!("scores"), &json!("update"), &data));
    assert_eq!(socket.expect("message").await["event"], "top");
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_comes_back_gets_exactly_what_it_missed() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut socket = Socket::connect(app.server.address).await;
    socket.subscribe("scores", json!({})).await;
    app.decided(1, 1).await;
    let seen = socket.event("update").await["id"].clone();
    drop(socket);
    for _ in 0..5 {
        app.decided(1, 1).await;
    }
    let mut socket = Socket::connect(app.server.address).await;
    socket.subscribe("scores", json!({ "last_event_id": seen, "since": 1 })).await;
    let subscribed = socket.expect("subscribed").await;
    assert_eq!((&subscribed["id"], &subscribed["recovered"]), (&seen, &json!(true)));
    for score in 2..=6 {
        assert_eq!(socket.event("update").await["data"]["score"], score);
    }
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_lost_is_said() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    for (with, reason) in [
        (json!({ "last_event_id": "zzz:1" }), "epoch-changed"),
        (json!({ "last_event_id": "garbage" }), "unknown-cursor"),
        (json!({ "since": 1 }), "too-old"),
    ] {
        let mut socket = Socket::connect(app.server.address).await;
        socket.subscribe("scores", with).await;
        let subscribed = socket.expect("subscribed").await;
        assert_eq!(subscribed["recovered"], false);
        let reset = socket.expect("reset").await;
        assert_eq!((&reset["reason"], &reset["id"]), (&json!(reason), &subscribed["id"]));
        assert_eq!(socket.expect("message").await["event"], "snapshot");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_come_and_go_on_one_socket() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut socket = Socket::connect(app.server.address).await;
    socket.subscribe("match:7", json!({})).await;
    let subscribed = socket.expect("subscribed").await;
    assert_eq!((&subscribed["topic"], &subscribed["recovered"]), (&json!("match:7"), &json!(false)));
    socket.subscribe("scores", json!({})).await;
    assert_eq!(socket.expect("subscribed").await["topic"], "scores");
    assert_eq!(socket.expect("message").await["event"], "snapshot");
    app.note("match:7", "goal", &json!({ "minute": 12 })).await;
    let goal = socket.expect("message").await;
    assert_eq!(
        (&goal["topic"], &goal["event"], &goal["data"]),
        (&json!("match:7"), &json!("goal"), &json!({ "minute": 12 }))
    );
    socket.send(json!({ "type": "unsubscribe", "topic": "match:7" })).await;
    assert_eq!(socket.expect("unsubscribed").await["topic"], "match:7");
    app.note("match:7", "goal", &json!({ "minute": 80 })).await;
    app.decided(1, 1).await;
    assert_eq!(socket.expect("message").await["event"], "update", "nothing of the match");
    assert_eq!(socket.expect("message").await["event"], "top");
    socket.subscribe("match:7", json!({ "last_event_id": goal["id"] })).await;
    assert_eq!(socket.expect("subscribed").await["recovered"], true);
    assert_eq!(socket.expect("message").await["data"]["minute"], 80);
    socket.send(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_followed_again_begins_anew() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let mut socket = Socket::connect(app.server.address).await;
    for _ in 0..3 {
        socket.subscribe("scores", json!({})).await;
        socket.expect("subscribed").await;
        assert_eq!(socket.expect("message").await["event"], "snapshot");
    }
    app.decided(1, 1).await;
    assert_eq!(socket.expect("message").await["event"], "update");
    assert_eq!(socket.expect("message").await["event"], "top", "told once");
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_granted_is_an_error_and_the_socket_goes_on() {
    let app = TestApp::with(|settings| settings.max_topics_per_viewer = Some(2)).await;
    let mut socket = Socket::connect(app.server.address).await;
    for (message, code) in [
        (json!({ "type": "dance" }), "invalid-message"),
        (json!([]), "invalid-message"),
        (json!({ "type": "subscribe", "topic": "weather" }), "unknown-topic"),
        (json!({ "type": "subscribe", "topic": "scores", "every": "1 parsec" }), "invalid-message"),
        (json!({ "type": "unsubscribe", "topic": "scores" }), "not-subscribed"),
    ] {
        socket.send(message.clone()).await;
        let error = socket.expect("error").await;
        assert_eq!(error["code"], code, "{message}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    for (topic, answer) in
        [("match:1", "subscribed"), ("match:2", "subscribed"), ("match:3", "error"), ("match:2", "subscribed")]
    {
        socket.subscribe(topic, json!({})).await;
        socket.expect(answer).await;
    }
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_carries_heartbeats() {
    let app = TestApp::with(|settings| settings.heartbeat = Some("50ms".parse().expect("a span"))).await;
    let mut socket = Socket::connect(app.server.address).await;
    for _ in 0..6 {
        let received = socket.receive().await;
        assert_eq!(received, crate::support::Received::Json(json!({ "type": "heartbeat" })), "pings were answered");
    }
    drop(socket);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_a_stopping_server_are_told_to_come_back() {
    let app = TestApp::start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = Socket::connect(app.server.address).await;
        socket.subscribe("scores", json!({})).await;
        socket.expect("subscribed").await;
        sockets.push(socket);
    }
    let stopping = tokio::spawn(app.server.stop());
    for mut socket in sockets {
        assert_eq!(socket.closed().await, (1_001, "draining".to_owned()));
    }
    stopping.await.expect("it stops");
}
