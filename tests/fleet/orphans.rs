//! What a killed worker had in hand is taken over by another one, soon and completely.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::support::{Fleet, Plan, lasting, queue_key};
use crate::support::{eventually, full_or};

/// From a worker's death until the last of its jobs is decided.
const RECOVERED: Duration = Duration::from_secs(10);
const JOBS: usize = 1_200;
/// Longer than the silence after which jobs are orphans (5 s), and than every back-off.
const LONG: Duration = Duration::from_secs(12);

/// Jobs in the hands of each worker.
async fn in_hand(fleet: &Fleet) -> Vec<(String, usize)> {
    let mut redis = fleet.keys().await;
    let mut consumers = redis::cmd("XINFO");
    consumers.arg("CONSUMERS").arg(queue_key("stream")).arg("workers");
    let consumers: redis::streams::StreamInfoConsumersReply =
        consumers.query_async(&mut redis).await.expect("consumers");
    consumers.consumers.into_iter().map(|consumer| (consumer.name, consumer.pending)).collect()
}

/// Keeps everybody from deciding anything, until dropped by [`let_go`].
async fn hold_ledger(fleet: &Fleet) -> PgConnection {
    let mut lock = PgConnection::connect(&fleet.database).await.expect("the database answers");
    for statement in ["BEGIN", "LOCK TABLE updates IN ACCESS EXCLUSIVE MODE"] {
        sqlx::query(statement).execute(&mut lock).await.expect("the lock");
    }
    lock
}

async fn let_go(mut lock: PgConnection) {
    sqlx::query("ROLLBACK").execute(&mut lock).await.expect("the lock goes");
    lock.close().await.expect("the end of a connection");
}

/// Accepts jobs of one update each, until both workers' hands are full; returns what they hold.
async fn fill_hands(fleet: &Fleet) -> Vec<(String, usize)> {
    // One after the other at each API process, so that each update is a job of its own.
    let sending = (0..2).map(|api| async move {
        for n in 0..JOBS / 2 {
            fleet.accepted(api, n as i64 % 50 + 1).await;
        }
    });
    join_all(sending).await;
    eventually("jobs in both workers' hands", || async {
        let held = in_hand(fleet).await;
        let both = held.len() == 2 && held.iter().all(|(_, jobs)| *jobs >= 128);
        both.then_some(held)
    })
    .await
}

/// Deliveries that are held against jobs, as far as they are not decided.
async fn crashes(fleet: &Fleet) -> u64 {
    let mut redis = fleet.keys().await;
    let jobs: Vec<String> = redis::cmd("KEYS").arg(queue_key("job:*")).query_async(&mut redis).await.expect("keys");
    assert_eq!(jobs.len(), JOBS, "none is decided yet");
    let mut pipe = redis::pipe();
    for job in &jobs {
        pipe.hget(job, "crashes");
    }
    let crashes: Vec<Option<u64>> = pipe.query_async(&mut redis).await.expect("counts");
    crashes.into_iter().flatten().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_in_hand_is_decided_within_ten_seconds() {
    let fleet = Fleet::start(Plan::default()).await;
    let lock = hold_ledger(&fleet).await;
    let held = fill_hands(&fleet).await;
    let began = Instant::now();
    fleet.workers[0].kill().await;
    let_go(lock).await;
    tokio::time::timeout(RECOVERED, fleet.settled()).await.expect("orphans are decided within ten seconds");
    println!("{JOBS} jobs, in hand {held:?}: all decided {:.1?} after the kill", began.elapsed());
    assert_eq!(fleet.decided().await, Some(JOBS as u64));
    assert_eq!(fleet.dead().await, Vec::<String>::new());
    fleet.workers[0].start().await;
    let id = fleet.accepted(0, 1).await;
    fleet.applied(1, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_crashes_are_held_against_a_job() {
    let fleet = Fleet::start(Plan::default()).await;
    let lock = hold_ledger(&fleet).await;
    fill_hands(&fleet).await;
    // A ledger that takes long is no crash: workers with full hands go on showing that they live.
    lasting(LONG).await;
    assert_eq!(crashes(&fleet).await, 0, "a slow ledger was taken for a crash");
    // Neither is a queue that was away: everybody comes back before anybody is blamed.
    for outage in 1..=full_or(5, 1) {
        fleet.kill_redis().await;
        lasting(LONG).await;
        fleet.restart_redis().await;
        lasting(LONG).await;
        assert_eq!(crashes(&fleet).await, 0, "outage {outage} was taken for a crash");
    }
    let_go(lock).await;
    fleet.settled().await;
    assert_eq!(fleet.decided().await, Some(JOBS as u64));
    assert_eq!(fleet.dead().await, Vec::<String>::new());
}
