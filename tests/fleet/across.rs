//! What one process began goes on at another.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{Fleet, Plan, Watcher};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_resumes_on_another_process() {
    let fleet = Fleet::start(Plan::default()).await;
    let first = Watcher::of(&fleet, 0, None).await;
    first.when("the snapshot", |seen| seen.events == 1).await;
    for _ in 0..20 {
        fleet.accepted(1, 1).await;
    }
    fleet.settled().await;
    first.agrees(&fleet, 1).await;
    let place = first.seen(|seen| seen.place.clone());
    drop(first);
    for _ in 0..20 {
        fleet.accepted(0, 2).await;
    }
    fleet.settled().await;
    // The watcher fails at the first message that does not follow the one before, across the processes.
    let second = Watcher::of(&fleet, 1, Some(&place)).await;
    second.when("what was missed", |seen| seen.events > 0).await;
    fleet.accepted(0, 3).await;
    second.agrees(&fleet, 0).await;
    eventually("the newest event", || async { second.seen(|seen| (seen.top[0]["score"] == 20).then_some(())) }).await;
    assert_eq!(second.seen(|seen| seen.resets), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_known_to_every_process_and_a_worker_elsewhere_answers_who_waits() {
    let fleet = Fleet::start(Plan { arguments: vec!["--max-wait", "30s"], ..Plan::default() }).await;
    let id = fleet.accepted(0, 1).await;
    assert_eq!(fleet.applied(1, &id).await["score"], 1);
    for api in 0..2 {
        let body = json!({ "userId": 2, "increment": 5 });
        let request = fleet.request(api, Method::POST, "/scores/update").header("Prefer", "wait=20").json(&body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let result: Value = answer.json().await.expect("JSON");
        assert_eq!((&result["status"], &result["score"]), (&json!("applied"), &json!(5 * (api + 1))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_are_shared_by_processes() {
    let limited = Plan { users: 0, rate_limit: "5/1h", ..Plan::default() };
    let fleet = Fleet::start(limited).await;
    let mut statuses = Vec::new();
    for n in 0..8 {
        statuses.push(fleet.submit(n % 2, 1).await.status());
    }
    assert_eq!(statuses[..5], [StatusCode::ACCEPTED; 5]);
    assert_eq!(statuses[5..], [StatusCode::TOO_MANY_REQUESTS; 3]);
}
