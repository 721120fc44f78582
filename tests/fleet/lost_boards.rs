//! Redis loses its rankings and topics: the board is built again from the ledger, and viewers are told.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Fleet, Load, PREFIX, Plan, Watcher, lasting};
use crate::support::{eventually, full_or};

const USERS: i64 = 50;

/// Waits until an API process answers with a board, which need not be complete.
async fn answers(fleet: &Fleet, api: usize) {
    eventually("a board", || async {
        let answer = fleet.get(api, "/scores").await;
        let current = answer.status().is_success() && !answer.headers().contains_key("scorewire-stale");
        let rows: Vec<Value> = answer.json().await.ok()?;
        (current && !rows.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_board_is_right_again_and_viewers_are_reset() {
    let losses = full_or(10, 3);
    let fleet = Fleet::start(Plan { users: USERS, ..Plan::default() }).await;
    let load = Load::keyed(full_or(20_000, 4_000), 400, USERS, "lost");
    let span = load.span();
    // Decided before anything is lost, so that viewers begin with something.
    let id = fleet.accepted(0, USERS).await;
    fleet.applied(0, &id).await;
    let mut viewers = Vec::new();
    for n in 0..6 {
        viewers.push(Watcher::of(&fleet, n % 2, None).await);
    }
    let losing = async {
        for n in 0..losses {
            lasting(span / (losses + 1)).await;
            let told: Vec<_> = viewers.iter().map(|viewer| viewer.seen(|seen| (seen.resets, seen.events))).collect();
            let deleted = fleet.delete_keys(&format!("{{{PREFIX}b:*")).await;
            fleet.delete_keys(&format!("{{{PREFIX}t:*")).await;
            assert!(deleted > 3, "a board has keys");
            let lost = Instant::now();
            for api in 0..2 {
                answers(&fleet, api).await;
            }
            let built = lost.elapsed();
            for (viewer, (resets, _)) in viewers.iter().zip(&told) {
                viewer.when("a reset", |seen| seen.resets > *resets).await;
            }
            println!("loss {n}: board built again after {built:.1?}, all viewers told after {:.1?}", lost.elapsed());
        }
    };
    let (mut sent, ()) = tokio::join!(load.send(&fleet), losing);
    sent.ids.push(id);
    *sent.sums.entry(USERS).or_default() += 1;
    fleet.assert_exactly_once(&sent).await;
    for (n, viewer) in viewers.iter().enumerate() {
        viewer.agrees(&fleet, n % 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_is_filled_again_without_a_restart() {
    let fleet = Fleet::start(Plan::default()).await;
    let mut sums = std::collections::HashMap::new();
    let mut viewers = Vec::new();
    for api in 0..2 {
        viewers.push(Watcher::of(&fleet, api, None).await);
    }
    for round in 1..=3 {
        for user in 1..=50 {
            let id = fleet.accepted(user as usize % 2, user).await;
            fleet.applied(0, &id).await;
            *sums.entry(user).or_default() += 1;
        }
        fleet.settled().await;
        let resets: Vec<_> = viewers.iter().map(|viewer| viewer.seen(|seen| seen.resets)).collect();
        let mut redis = fleet.keys().await;
        redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.expect("emptied");
        let emptied = Instant::now();
        if round == 2 {
            // Nothing happens for a while: the group has to be there all the same for whatever comes then.
            lasting(Duration::from_secs(6)).await;
        }
        for api in 0..2 {
            fleet.assert_board(api, &sums).await;
        }
        let built = emptied.elapsed();
        for (viewer, resets) in viewers.iter().zip(resets) {
            viewer.when("a reset", |seen| seen.resets > resets).await;
        }
        let id = fleet.accepted(0, 7).await;
        fleet.applied(1, &id).await;
        *sums.entry(7).or_default() += 1;
        println!("round {round}: board right after {built:.1?}, the next update applied {:.1?}", emptied.elapsed());
    }
    fleet.settled().await;
    for (api, viewer) in viewers.iter().enumerate() {
        fleet.assert_board(api, &sums).await;
        viewer.agrees(&fleet, api).await;
    }
}
