//! An update that its ledger refuses for a reason of its own: it alone is parked, everything else applies.

use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support::{Books, TestApp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn one_poisoned_update_is_parked_alone_and_the_rest_apply() {
    let app = TestApp::with(|settings| {
        settings.max_attempts = Some(2);
        settings.retry_base = Some("10ms".parse().expect("a span"));
    })
    .await;
    for id in [1, 2, 13] {
        app.add_user(id).await;
    }
    Books::of(&app.settings).refuse_user_13().await;
    // Concurrent, so that they share jobs and transactions with the poisoned one.
    let posts = (0..60).map(|n| {
        let user = if n == 30 { 13 } else { 1 + n % 2 };
        app.accepted(user, 1, None)
    });
    let ids = futures_util::future::join_all(posts).await;
    let poisoned = &ids[30];
    for id in ids.iter().filter(|id| *id != poisoned) {
        app.status_when(id, &["applied"]).await;
    }
    let retrying = app.status_when(poisoned, &["retrying", "failed"]).await;
    assert_eq!(retrying["attempts"].as_i64().map(|n| n >= 1), Some(true), "{retrying}");
    let failed = app.status_when(poisoned, &["failed"]).await;
    assert!(failed["detail"].as_str().expect("a reason").contains("poisoned"), "{failed}");
    assert_eq!(failed["attempts"], 2);
    assert!(failed["finishedAt"].is_string());
    let retried = futures_util::future::join_all(ids.iter().map(|id| app.status(id))).await;
    let attempts = retried.iter().filter(|status| status["status"] == "applied").map(|status| &status["attempts"]);
    assert!(attempts.clone().all(|n| n == 1), "the others were applied at once");
    let scores: i64 = app.scores("").await.iter().map(|row| row.2).sum();
    assert_eq!(scores, 59);
    eventually("the dead letter to be counted", || async { (app.server.wiring.metrics.dead.get() == 1).then_some(()) })
        .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_nobody_can_read_is_parked_and_the_queue_goes_on() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    let options = SqliteConnectOptions::new().filename(app.data_dir().join("queue.db"));
    let queue = SqlitePool::connect_with(options).await.expect("the queue's file");
    queue
        .execute("INSERT INTO Jobs (job, id, job_type) VALUES (x'DEAD', '01J0000000000000000000DEAD', 'scores')")
        .await
        .expect("a job");
    assert_eq!(app.decided(1, 5).await["status"], "applied");
    eventually("the dead letter to be counted", || async { (app.server.wiring.metrics.dead.get() == 1).then_some(()) })
        .await;
    queue.close().await;
    app.finish().await;
}
