//! A job that kills whoever has it in hand is cut in half until the one update to blame is parked.

use std::sync::Arc;

use scorewire_core::ports::{Acceptance, JobKind, Queue, QueuedState, SystemClock};
use scorewire_core::queue::SqliteQueue;
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::update;

#[tokio::test]
async fn a_job_that_crashes_every_worker_is_bisected_and_its_last_update_parked() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("queue.db");
    let queue = SqliteQueue::open(&path, Arc::new(SystemClock)).await.expect("a queue");
    let accepted = queue.accept((1..=3).map(update).collect()).await.expect("accepted");
    let ids: Vec<_> = accepted
        .into_iter()
        .map(|acceptance| match acceptance {
            Acceptance::Accepted(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    queue.close().await;

    let mut starts = 0;
    loop {
        // A worker takes every job in hand, and its process dies.
        let raw = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path).foreign_keys(false))
            .await
            .expect("the file");
        raw.execute("UPDATE Jobs SET status = 'Queued', lock_by = 'dead'").await.expect("held");
        raw.close().await;
        let queue = SqliteQueue::open(&path, Arc::new(SystemClock)).await.expect("a queue");
        queue.jobs(JobKind::Scores).await.expect("a new worker");
        starts += 1;
        let mut states = Vec::new();
        for id in &ids {
            let found = queue.find_update(id).await.expect("a look").expect("no update is lost");
            states.push(found.state);
        }
        queue.close().await;
        if starts == 4 {
            assert!(states.iter().all(|state| *state == QueuedState::Queued), "{states:?}");
        }
        if states.iter().all(|state| *state == QueuedState::Dead) {
            break;
        }
        assert!(starts < 40, "it never ends: {states:?}");
    }
    // Three updates: five crashes for the whole, five for each cut, five for the last ones alone.
    assert_eq!(starts, 15);
}
