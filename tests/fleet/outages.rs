//! PostgreSQL or Redis are away for a while: reads go on, nothing that was accepted is lost or blamed, and nobody has
//! to start anything again.

use std::cell::Cell;
use std::time::{Duration, Instant};

use reqwest::{StatusCode, header};
use serde_json::Value;
use sqlx::Row;

use super::support::{Fleet, Load, Plan, Watcher, lasting};
use crate::support::{eventually, full_or};

const USERS: i64 = 50;
const PER_SECOND: u64 = 500;
/// A reader's patience.
const SOON: Duration = Duration::from_secs(3);

/// Waits until a process says that it can do everything again.
async fn ready(fleet: &Fleet) {
    for member in fleet.apis.iter().chain(&fleet.workers) {
        eventually("a process to be ready", || async {
            (fleet.said(member, "/readyz").await.1["status"] == "ready").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_dead_letters_nothing() {
    // One failed try would be the last.
    let plan = Plan { users: USERS, arguments: vec!["--max-attempts", "1"], ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let away = Duration::from_secs(full_or(120, 10));
    // Sending begins before and goes on after it.
    let updates = (away.as_secs() + 12) * PER_SECOND;
    let load = Load::keyless(updates as usize, PER_SECOND, USERS);
    let (over, reads) = (Cell::new(false), Cell::new(0));
    let began = Instant::now();
    let outage = async {
        lasting(Duration::from_secs(1)).await;
        fleet.kill_postgres().await;
        lasting(away).await;
        for member in fleet.apis.iter().chain(&fleet.workers) {
            let said = tokio::time::timeout(SOON, fleet.said(member, "/readyz"));
            let (status, said) = said.await.expect("a quick answer");
            assert_eq!((status, &said["status"]), (StatusCode::OK, &"degraded".into()), "{}: {said}", member.name);
        }
        let answer = fleet.get(0, "/users/1").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "what only the ledger knows");
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        fleet.restart_postgres().await;
        over.set(true);
    };
    let reading = async {
        while !over.get() {
            for api in 0..2 {
                let answer = tokio::time::timeout(SOON, fleet.get(api, "/scores")).await.expect("a quick answer");
                assert_eq!(answer.status(), StatusCode::OK);
                assert!(!answer.headers().contains_key("scorewire-stale"), "the rankings are there");
                reads.set(reads.get() + 1);
            }
            lasting(Duration::from_millis(20)).await;
        }
    };
    let (sent, (), ()) = tokio::join!(load.send(&fleet), outage, reading);
    let back = Instant::now();
    fleet.assert_exactly_once(&sent).await;
    println!(
        "{updates} updates accepted in {:.0?}, {away:.0?} of them without PostgreSQL, {} reads; all applied and checked \
         {:.1?} after the last was sent",
        back.duration_since(began),
        reads.get(),
        back.elapsed()
    );
    let ledger = fleet.ledger().await;
    let tries =
        sqlx::query("SELECT min(attempts), max(attempts) FROM updates").fetch_one(&ledger).await.expect("tries");
    assert_eq!((tries.get::<i64, _>(0), tries.get::<i64, _>(1)), (1, 1), "no attempt was used up");
    ledger.close().await;
    ready(&fleet).await;
}

/// What an API process answers while Redis is away.
async fn assert_reads(fleet: &Fleet, api: usize, board: &Value) {
    for path in ["/scores", "/scores?limit=10", "/scores?limit=5&offset=2", "/users/3"] {
        let answer = tokio::time::timeout(SOON, fleet.get(api, path)).await.expect("a quick answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let age = answer.headers().get("scorewire-stale").expect("marked as stale").to_str().expect("text");
        assert!(age.parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{age}");
        let body: Value = answer.json().await.expect("JSON");
        let rows = board.as_array().expect("rows");
        match path {
            "/users/3" => assert_eq!(body["standings"][0]["score"], rows[2]["score"], "{body}"),
            "/scores?limit=5&offset=2" => assert_eq!(body.as_array().expect("rows"), &rows[2..7]),
            _ => assert_eq!(body, *board, "{path}"),
        }
    }
    let said = tokio::time::timeout(SOON, fleet.said(&fleet.apis[api], "/readyz")).await.expect("a quick answer");
    assert_eq!((said.0, &said.1["status"]), (StatusCode::OK, &"degraded".into()), "{}", said.1);
    assert_eq!(fleet.said(&fleet.apis[api], "/healthz").await.0, StatusCode::OK);
}

/// What becomes of writes meanwhile, and of questions that the ledger answers.
async fn assert_writes(fleet: &Fleet, api: usize, applied: &str) {
    let answer = fleet.submit(api, 1).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let answer = fleet.get(api, &format!("/scores/updates/{applied}")).await;
    assert_eq!(answer.status(), StatusCode::OK, "the ledger knows what was decided");
}

/// A board of users 1 to 20, the first before the second and so on, and one update that made it.
async fn board_of_twenty(fleet: &Fleet) -> (Value, String) {
    let mut last = String::new();
    for user in 1..=20 {
        for _ in 0..21 - user {
            last = fleet.accepted(0, user).await;
        }
    }
    fleet.applied(0, &last).await;
    fleet.settled().await;
    let mut boards = Vec::new();
    for api in 0..2 {
        boards.push(fleet.get(api, "/scores").await.json::<Value>().await.expect("JSON"));
    }
    assert_eq!(boards[0], boards[1]);
    (boards.swap_remove(0), last)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_answered_while_redis_hangs() {
    let fleet = Fleet::start(Plan { users: 20, ..Plan::default() }).await;
    let (board, _) = board_of_twenty(&fleet).await;
    // Longer than the time an answer may take, so that connections are given up and opened in vain.
    let hanging = Duration::from_secs(8);
    let reads = Cell::new(0);
    fleet
        .redis_stopped_while(async {
            let began = Instant::now();
            while began.elapsed() < hanging {
                for api in 0..2 {
                    assert_reads(&fleet, api, &board).await;
                    reads.set(reads.get() + 1);
                }
            }
        })
        .await;
    ready(&fleet).await;
    let id = fleet.accepted(1, 20).await;
    fleet.applied(0, &id).await;
    println!("{} rounds of stale answers while Redis hung for {hanging:.0?}", reads.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_redis_is_away() {
    let fleet = Fleet::start(Plan { users: 20, arguments: vec!["--heartbeat", "1s"], ..Plan::default() }).await;
    let (board, applied) = board_of_twenty(&fleet).await;
    let viewers = [Watcher::of(&fleet, 0, None).await, Watcher::of(&fleet, 1, None).await];
    for (api, viewer) in viewers.iter().enumerate() {
        viewer.agrees(&fleet, api).await;
    }
    for outage in 0..2 {
        fleet.kill_redis().await;
        for api in 0..2 {
            assert_reads(&fleet, api, &board).await;
            assert_writes(&fleet, api, &applied).await;
        }
        // The connections' back-offs grow to their longest.
        lasting(Duration::from_secs(5)).await;
        assert_reads(&fleet, 0, &board).await;
        let gone = viewers.each_ref().map(|viewer| viewer.seen(|seen| seen.events));
        fleet.restart_redis().await;
        let back = Instant::now();
        let sums = (1..=20).map(|user| (user, 21 - user)).collect();
        for api in 0..2 {
            fleet.assert_board(api, &sums).await;
        }
        let reading = back.elapsed();
        for (api, viewer) in viewers.iter().enumerate() {
            // The restart began a new life of the topic, so that there is something to be told.
            viewer.when("a word to the viewer", |seen| seen.events > gone[api]).await;
            viewer.agrees(&fleet, api).await;
        }
        println!("outage {outage}: boards {reading:.1?}, viewers {:.1?} after Redis came back", back.elapsed());
        ready(&fleet).await;
    }
    let before = fleet.decided().await.expect("PostgreSQL is there");
    let id = fleet.accepted(1, 20).await;
    fleet.applied(0, &id).await;
    assert_eq!(fleet.decided().await, Some(before + 1));
    for (api, viewer) in viewers.iter().enumerate() {
        viewer.agrees(&fleet, api).await;
    }
}
