//! `scorewire feeds check` end to end, before services that are well.

use serde_json::{Value, json};

use super::{KEY, Upstreams, check, now};

#[tokio::test(flavor = "multi_thread")]
async fn both_services_are_published_exactly_as_documented() {
    let upstreams = Upstreams::start(&["--key", KEY]).await;
    let before = now();
    let said = upstreams.check(&["match"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    let message = said.out.lines().nth(1).expect("the message on a line of its own");
    let timestamp: i64 = serde_json::from_str::<Value>(message).expect("JSON")["timestamp"].as_i64().expect("seconds");
    assert!((before..=now()).contains(&timestamp), "{message}");
    let data = r#"{"username":"janet.weaver","domain":"reqres.in","name":"janet weaver"}"#;
    assert_eq!(message, format!(r#"{{"timestamp":{timestamp},"data":{data}}}"#));

    let said = upstreams.check(&["btc-usd"]).await;
    let message: Value = serde_json::from_str(said.out.lines().nth(1).expect("a message")).expect("JSON");
    let data = message["data"].as_object().expect("an object");
    assert_eq!(data.keys().collect::<Vec<_>>(), ["at", "price"]);
    assert!(data["price"].as_f64().is_some_and(|price| price > 1_000.0), "{message}");
    assert!(data["at"].as_i64().is_some_and(|at| (before - 2..=now()).contains(&at)), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_alone_is_enough_and_variables_change_the_feed() {
    let upstreams = Upstreams::start(&[]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("{}/api/users/2", upstreams.url);
    let said = check(dir.path(), &["--json"], &[("SOURCE_URL", &url)]).await;
    let data = json!({ "username": "janet.weaver", "domain": "reqres.in", "name": "janet weaver" });
    assert_eq!((said.status, &said.tries("match")[0]["message"]["data"]), (0, &data), "{said:?}");
    let variables = [("SOURCE_URL", url.as_str()), ("SOURCE_TRANSFORM", ".data.id"), ("FETCH_INTERVAL", "1s")];
    let said = check(dir.path(), &["--json"], &variables).await;
    assert_eq!(said.tries("match")[0]["message"]["data"], 2);
    let said = check(dir.path(), &[], &[]).await;
    assert!(said.status == 1 && said.err.contains("set SOURCE_URL"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_answer_is_enough_to_try_filters() {
    let upstreams = Upstreams::start(&[]).await;
    let path = upstreams.dir.path().join("saved.json");
    let file = path.to_str().expect("a path");
    std::fs::write(&path, r#"{"data":{"email":"a@b","first_name":"Ann","last_name":"Lee"}}"#).expect("a file");
    let said = upstreams.check(&["match", "--file", file, "--json"]).await;
    let data = json!({ "username": "a", "domain": "b", "name": "ann lee" });
    assert_eq!((said.status, &said.tries("match")[0]["message"]["data"]), (0, &data), "{said:?}");
    std::fs::write(&path, "{}").expect("a file");
    let said = upstreams.check(&["match", "--file", file, "--json"]).await;
    assert_eq!((said.status, said.outcome("match").as_str()), (1, "transform-failed"), "{said:?}");
    let said = upstreams.check(&["--file", file]).await;
    assert!(said.status == 1 && said.err.contains("name it"), "{said:?}");
    assert_eq!(upstreams.requests("reqres").await, 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_published_again() {
    let upstreams = Upstreams::start(&["--tick", "1h"]).await;
    let said = upstreams.check(&["match", "--json", "--times", "3"]).await;
    let outcomes: Vec<_> = said.tries("match").iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["value", "not-modified", "not-modified"], "{said:?}");
    // One request for each try.
    assert_eq!(upstreams.requests("reqres").await, 3);
    // A version that stands still under a body that does not: the service counts its answers, the feed the user's id.
    let versioned =
        upstreams.both("").replace(r#"dedupe = '.Data["BTC-USD"].CCSEQ'"#, r#"dedupe = '.Data["BTC-USD"].MARKET'"#);
    upstreams.configure(&versioned);
    let moving = Upstreams::start(&["--tick", "0s"]).await;
    moving.configure(&versioned.replace(&upstreams.url, &moving.url));
    let said = moving.check(&["btc-usd", "--json", "--times", "2"]).await;
    assert_eq!(said.outcome("btc-usd"), "same-version", "{said:?}");
    moving.configure(&moving.both(""));
    let said = moving.check(&["btc-usd", "--json", "--times", "2"]).await;
    assert_eq!(said.outcome("btc-usd"), "value", "a new number each time: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_settings_are_shown_where_they_are() {
    let upstreams = Upstreams::start(&[]).await;
    upstreams.configure(&upstreams.both("").replace("ascii_downcase", "downcase"));
    let said = upstreams.check(&[]).await;
    assert!(said.status == 1 && said.err.contains("feed match: there is no filter downcase/0 at line 1"), "{said:?}");
    upstreams.configure(&upstreams.both("kep = \"1h\""));
    let said = upstreams.check(&[]).await;
    assert!(said.status == 1 && said.err.contains("feed match: unknown field `kep`"), "{said:?}");
    upstreams.configure(&upstreams.both(""));
    let said = upstreams.check(&["nosuch"]).await;
    assert!(said.status == 1 && said.err.contains("there is no feed nosuch, only: match, btc-usd"), "{said:?}");
    let said = check(upstreams.dir.path(), &[], &[("COINDESK_API_KEY", "")]).await;
    assert!(said.status == 1 && said.err.contains("COINDESK_API_KEY is not set"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_printed() {
    let upstreams = Upstreams::start(&["--key", KEY]).await;
    let in_url = upstreams.both("").replace("instruments=BTC-USD", "instruments=BTC-USD&api_key=${COINDESK_API_KEY}");
    upstreams.configure(&in_url);
    for fault in ["none", "401", "cut", "garbage", "redirect-loop"] {
        upstreams.fault("coindesk", fault).await;
        for arguments in [&["btc-usd"][..], &["btc-usd", "--json"]] {
            let said = upstreams.check(arguments).await;
            assert!(said.out.contains("api_key=***"), "{said:?}");
            assert!(!said.out.contains(KEY) && !said.err.contains(KEY), "{said:?}");
        }
    }
}
