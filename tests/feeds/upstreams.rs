//! `scorewire upstreams` itself: the shapes are those of the services.

use reqwest::StatusCode;
use serde_json::Value;

use super::{Upstreams, client};

const TICK: &str = "/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD";

async fn get(upstreams: &Upstreams, path: &str) -> (StatusCode, Value) {
    let answer = client().get(format!("{}{path}", upstreams.url)).send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shapes_are_those_of_the_services() {
    let upstreams = Upstreams::start(&["--tick", "0s"]).await;
    let (_, user) = get(&upstreams, "/api/users/2").await;
    let data = user["data"].as_object().expect("an object");
    assert_eq!(data.keys().collect::<Vec<_>>(), ["avatar", "email", "first_name", "id", "last_name"]);
    assert_eq!((&data["id"], &data["email"]), (&2.into(), &"janet.weaver@reqres.in".into()));
    let (_, first) = get(&upstreams, TICK).await;
    let tick = &first["Data"]["BTC-USD"];
    assert_eq!(
        (&tick["TYPE"], &tick["MARKET"], &tick["INSTRUMENT"]),
        (&"266".into(), &"cadli".into(), &"BTC-USD".into())
    );
    assert!(first["Err"].as_object().is_some_and(serde_json::Map::is_empty));
    let (_, second) = get(&upstreams, TICK).await;
    let sequence = |answer: &Value| answer["Data"]["BTC-USD"]["CCSEQ"].as_u64().expect("a number");
    assert_eq!(sequence(&second), sequence(&first) + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_both_refuse_in_their_own_words() {
    let upstreams = Upstreams::start(&["--key", "k"]).await;
    let (status, answer) = get(&upstreams, TICK).await;
    assert_eq!(
        (status.as_u16(), &answer["Err"]["http_status_code"], &answer["Err"]["type"]),
        (401, &401.into(), &2.into())
    );
    assert_eq!(get(&upstreams, "/api/users/2").await.0, 401);
    assert_eq!(get(&upstreams, &format!("{TICK}&api_key=k")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_and_wrong_switches_refused() {
    let upstreams = Upstreams::start(&[]).await;
    for _ in 0..3 {
        get(&upstreams, "/api/users/2").await;
    }
    assert_eq!((upstreams.requests("reqres").await, upstreams.requests("coindesk").await), (3, 0));
    for (service, body, status) in [
        ("reqres", "{\"fault\":\"sulky\"}", 400),
        ("reqres", "?", 400),
        ("reqres", "{}", 400),
        ("nasa", "{\"fault\":\"slow\"}", 404),
    ] {
        let post = client().post(format!("{}/faults/{service}", upstreams.url)).body(body).send().await;
        assert_eq!(post.expect("an answer").status(), status, "{service} {body}");
    }
}
