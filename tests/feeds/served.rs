//! A server with its feeds: what `GET /feeds` and history show, and what is left after a restart.

use reqwest::StatusCode;
use scorewire::http::auth::Grant;
use serde_json::{Value, json};

use super::{Upstreams, served_feeds};
use crate::support::{Deployment, ServerProcess, Storage, Stream, TestApp, command, eventually};

/// A server whose feeds have these beats.
async fn serve(storage: Storage, upstreams: &Upstreams, more: &str) -> TestApp {
    TestApp::with_feeds(storage, &served_feeds(&upstreams.url, more), |_| {}).await
}

async fn empty() -> Storage {
    Storage::empty(Deployment::of_this_run()).await
}

async fn json_of(app: &TestApp, path: &str) -> Value {
    let answer = app.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.expect("JSON")
}

/// A feed as soon as it is so.
async fn feed_when(app: &TestApp, name: &str, so: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{name} to be so"), || async {
        Some(json_of(app, &format!("/feeds/{name}")).await).filter(|feed| so(feed))
    })
    .await
}

fn messages(history: &Value) -> &Vec<Value> {
    history["messages"].as_array().expect("messages")
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_are_fetched_and_shown_as_the_issue_writes_them() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = serve(empty().await, &upstreams, "transmit_every = \"2s\"").await;
    let before = super::now();
    let feed = feed_when(&app, "match", |feed| !feed["value"].is_null()).await;
    let data = json!({"username": "janet.weaver", "domain": "reqres.in", "name": "janet weaver"});
    assert_eq!(feed["value"]["data"], data);
    let timestamp = feed["value"]["timestamp"].as_i64().expect("a second");
    assert!((before - 30..=super::now()).contains(&timestamp), "{timestamp}");
    assert_eq!((&feed["stale"], &feed["failure"], &feed["topic"]), (&json!(false), &Value::Null, &json!("feed:match")));
    assert_eq!((&feed["fetchSeconds"], &feed["transmitSeconds"]), (&json!(0.1), &json!(2.0)));
    let price = feed_when(&app, "btc-usd", |feed| feed["value"]["data"]["price"].is_f64()).await;
    assert!(price["value"]["data"]["at"].is_i64(), "{price}");
    let all = json_of(&app, "/feeds").await;
    let names: Vec<_> = all["feeds"].as_array().expect("feeds").iter().map(|feed| &feed["name"]).collect();
    assert_eq!((&all["default"], names), (&json!("match"), vec![&json!("match"), &json!("btc-usd")]));
    for (path, status) in [
        ("/feeds/nasa", 404),
        ("/feeds/nasa/history", 404),
        ("/feeds/%00", 404),
        ("/feeds/btc-usd/history?limit=0", 400),
    ] {
        assert_eq!(app.get(path).await.status(), status, "{path}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_answer_confirms_the_value_and_sends_nothing() {
    let upstreams = Upstreams::start(&["--tick", "1h"]).await;
    let app = serve(empty().await, &upstreams, "").await;
    for (feed, service) in [("match", "reqres"), ("btc-usd", "coindesk")] {
        let first = feed_when(&app, feed, |feed| !feed["value"].is_null()).await;
        let asked = upstreams.requests(service).await;
        eventually("more fetches", || async { (upstreams.requests(service).await > asked + 3).then_some(()) }).await;
        let later = feed_when(&app, feed, |later| later["checkedAt"] != first["checkedAt"]).await;
        assert_eq!((&later["id"], &later["value"], &later["stale"]), (&first["id"], &first["value"], &json!(false)));
        assert_eq!(messages(&json_of(&app, &format!("/feeds/{feed}/history")).await).len(), 1);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_what_the_ring_holds_page_by_page() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let app = serve(empty().await, &upstreams, "keep_messages = 5").await;
    let offset = |message: &Value| {
        let id = message["id"].as_str().expect("an id");
        id.split_once(':').and_then(|(_, offset)| offset.parse::<u64>().ok()).expect("epoch:offset")
    };
    eventually("the ring to be full and more", || async {
        let newest = json_of(&app, "/feeds/btc-usd").await;
        (newest["id"].is_string() && offset(&newest) > 7).then_some(())
    })
    .await;
    // From here on nothing is added.
    upstreams.fault("coindesk", "500").await;
    feed_when(&app, "btc-usd", |feed| !feed["failure"].is_null()).await;
    let all = json_of(&app, "/feeds/btc-usd/history?since=0").await;
    let kept: Vec<_> = messages(&all).iter().map(offset).collect();
    assert_eq!((kept.len(), &all["complete"], &all["next"]), (5, &json!(false), &Value::Null));
    assert!(kept.is_sorted() && kept[4] - kept[0] == 4, "{kept:?}");
    assert_eq!(messages(&json_of(&app, "/feeds/btc-usd/history").await), messages(&all));
    let newest = json_of(&app, "/feeds/btc-usd/history?limit=2").await;
    assert_eq!(messages(&newest)[..], messages(&all)[3..]);
    let first = json_of(&app, "/feeds/btc-usd/history?since=0&limit=3").await;
    assert_eq!(messages(&first)[..], messages(&all)[..3]);
    let next = first["next"].as_str().expect("more");
    let rest = json_of(&app, &format!("/feeds/btc-usd/history?after={next}&limit=3")).await;
    assert_eq!((&messages(&rest)[..], &rest["next"]), (&messages(&all)[3..], &Value::Null));
    let second = messages(&all)[4]["timestamp"].as_i64().expect("a second");
    let since = json_of(&app, &format!("/feeds/btc-usd/history?since={second}")).await;
    let expected: Vec<_> = messages(&all).iter().filter(|m| m["timestamp"].as_i64() >= Some(second)).collect();
    assert_eq!(messages(&since).iter().collect::<Vec<_>>(), expected);
    let future = json_of(&app, &format!("/feeds/btc-usd/history?since={}", second + 1_000)).await;
    assert_eq!((messages(&future).len(), &future["complete"]), (0, &json!(true)));
    for bad in ["since=x", "limit=1001", "after=e:1&since=1", "after=nothing", "after=gone:1", "more=1"] {
        let answer = app.get(&format!("/feeds/btc-usd/history?{bad}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_value_ring_and_what_is_known_are_there() {
    let upstreams = Upstreams::start(&["--tick", "1s"]).await;
    let app = serve(empty().await, &upstreams, "").await;
    eventually("some prices", || async {
        (messages(&json_of(&app, "/feeds/btc-usd/history").await).len() >= 2).then_some(())
    })
    .await;
    feed_when(&app, "match", |feed| !feed["value"].is_null()).await;
    // Nothing new comes while the server is looked at.
    for service in ["reqres", "coindesk"] {
        upstreams.fault(service, "500").await;
    }
    let (mut feeds, mut histories) = (Vec::new(), Vec::new());
    for name in ["match", "btc-usd"] {
        feeds.push(feed_when(&app, name, |feed| !feed["failure"].is_null()).await);
        histories.push(json_of(&app, &format!("/feeds/{name}/history?since=0")).await);
    }
    let storage = app.finish().await;
    let app = serve(storage, &upstreams, "").await;
    for (name, (feed, history)) in ["match", "btc-usd"].into_iter().zip(feeds.iter().zip(&histories)) {
        let again = json_of(&app, &format!("/feeds/{name}")).await;
        for key in ["value", "id", "checkedAt", "changedAt", "stale"] {
            assert_eq!(again[key], feed[key], "{name} {key}");
        }
        let held = json_of(&app, &format!("/feeds/{name}/history?since=0")).await;
        assert_eq!(messages(&held), messages(history), "{name}");
    }
    upstreams.fault("reqres", "none").await;
    let healed = feed_when(&app, "match", |feed| feed["failure"].is_null()).await;
    assert_eq!(healed["id"], feeds[0]["id"], "the source's ETag was remembered: it is no new value");
    let id = feeds[0]["id"].as_str().expect("an id");
    let later = json_of(&app, &format!("/feeds/match/history?after={id}")).await;
    assert_eq!(messages(&later).len(), 0, "the place goes on to be one");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_need_a_token_feeds_do_too() {
    let upstreams = Upstreams::start(&[]).await;
    let app = TestApp::with_feeds(empty().await, &served_feeds(&upstreams.url, ""), |settings| {
        settings.streams = Some("token".parse().expect("a word"));
    })
    .await;
    let get = async |path: &str, scope: Option<&str>| {
        let request = app.request(reqwest::Method::GET, path);
        let request = match scope {
            Some(scope) => request.bearer_auth(app.token("ann", &[scope.parse::<Grant>().expect("a scope")])),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    for path in ["/feeds", "/feeds/match", "/feeds/match/history"] {
        assert_eq!(get(path, None).await.0, 401, "{path}");
        assert_eq!(get(path, Some("stream:feed:*")).await.0, 200, "{path}");
    }
    assert_eq!(get("/feeds/match", Some("stream:feed:btc-usd")).await.0, 403);
    let (_, listed) = get("/feeds", Some("stream:feed:btc-usd")).await;
    let names: Vec<_> = listed["feeds"].as_array().expect("feeds").iter().map(|feed| &feed["name"]).collect();
    assert_eq!(names, [&json!("btc-usd")], "others are not even named");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_variable_is_enough_to_publish_a_source() {
    let upstreams = Upstreams::start(&[]).await;
    let mut command = command(&upstreams.dir.path().join("data"), &[]);
    command.current_dir("/").env("SOURCE_URL", format!("{}/api/users/2", upstreams.url));
    let server = ServerProcess::try_start(command).await.expect("it starts");
    let mut viewer =
        Stream::new(super::client().get(format!("{}/stream", server.url)).send().await.expect("an answer"));
    let message = viewer.block().await.expect("a message");
    let (id, data) = message.split_once("\ndata: ").expect("id and data");
    let (timestamp, rest) =
        data.strip_prefix("{\"timestamp\":").and_then(|data| data.split_once(',')).expect("a second");
    assert_eq!(rest, r#""data":{"username":"janet.weaver","domain":"reqres.in","name":"janet weaver"}}"#);
    assert!(timestamp.parse::<i64>().is_ok_and(|second| second <= super::now()), "{timestamp}");
    assert_eq!(
        viewer.block().await.as_deref(),
        Some(format!("{id}\ndata: {data}").as_str()),
        "again on the beat of 2 s"
    );
    server.terminate().await;
}
