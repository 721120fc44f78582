//! Several workers on one database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use scorewire_core::domain::{BoardId, ScoreUpdate};
use scorewire_core::ledger::{PostgresLedger, PostgresOptions};
use scorewire_core::ports::{FailureKind, Ledger};
use sqlx::{Connection, Executor};

use crate::{Fixture, ledger, update};

const WORKERS: i64 = 8;
const ROUNDS: i64 = 12;
const USERS: i64 = 10;

/// The batch of a round as one worker sends it: the same ids as every other worker's, in an order of its own, and some
/// of the rounds before.
fn batch(worker: i64, round: i64, board: &BoardId) -> Vec<ScoreUpdate> {
    let mut updates: Vec<ScoreUpdate> = (round * 20 - 10..round * 20 + 20)
        .map(|i| ScoreUpdate { board: board.clone(), ..update(&format!("{board}-{i}"), i.rem_euclid(USERS) + 1, i) })
        .collect();
    updates.rotate_left(usize::try_from(worker * 3).expect("small"));
    if worker % 2 == 0 {
        updates.reverse();
    }
    updates
}

async fn work(ledger: Arc<PostgresLedger>, worker: i64, board: BoardId) -> u64 {
    let mut applied = 0;
    for round in 0..ROUNDS {
        // A deadlock would be an error here.
        applied += ledger.apply(&batch(worker, round, &board)).await.expect("applied").applied;
    }
    applied
}

/// Workers apply overlapping batches; afterwards each id has counted once, and each version has grown by one for each
/// transaction that changed the standing.
async fn overlapping_batches(fixture: &Fixture, board: &BoardId, first_version: i64) {
    // Two processes with a pool each.
    let pools = [0, 1].map(|_| Arc::new(ledger(&fixture.url, PostgresOptions::default())));
    let workers = (0..WORKERS).map(|worker| {
        let pool = Arc::clone(&pools[usize::from(worker % 2 == 0)]);
        tokio::spawn(work(pool, worker, board.clone()))
    });
    let applied: u64 = join_all(workers).await.into_iter().map(|done| done.expect("a worker")).sum();

    let mut sums = BTreeMap::new();
    let all: BTreeMap<_, _> =
        (0..ROUNDS).flat_map(|round| batch(0, round, board)).map(|u| (u.id.to_string(), u)).collect();
    for update in all.values() {
        *sums.entry(update.user.get()).or_insert(0) += update.operator.amount();
    }
    assert_eq!(applied, all.len() as u64);
    let mut connection = fixture.connection().await;
    let transactions: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT user_id, count(DISTINCT batch_id) FROM updates
         WHERE board_id = (SELECT id FROM boards WHERE name = $1) GROUP BY user_id ORDER BY user_id",
    )
    .bind(board.as_str())
    .fetch_all(&mut connection)
    .await
    .expect("counts");
    let expected: Vec<_> =
        transactions.iter().map(|(user, count)| (*user, sums[user], first_version + count)).collect();
    assert_eq!(fixture.scores(board).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_of_eight_workers_count_once() {
    let fixture = Fixture::with_users(USERS).await;
    overlapping_batches(&fixture, &BoardId::main(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_count_once_where_nobody_stood_before() {
    let fixture = Fixture::with_users(USERS).await;
    fixture.run("INSERT INTO boards VALUES (2, 'side', 'increment', 'desc', 0)").await;
    overlapping_batches(&fixture, &BoardId::new("side"), 0).await;
}

#[tokio::test]
async fn an_id_that_another_transaction_holds_is_waited_for() {
    let fixture = Fixture::with_users(1).await;
    for (end, applied, score) in [("ROLLBACK", 1, 5), ("COMMIT", 0, 5)] {
        let mut other = fixture.connection().await;
        let mut held = other.begin().await.expect("a transaction");
        let claim = "INSERT INTO updates VALUES ($1, 1, 1, 'increment', 5, 1, 1, NULL, 5, 'other', 'other', 1, 0)";
        sqlx::query(claim).bind(end).execute(&mut *held).await.expect("a claim");
        let batch = [update(end, 1, 5)];
        let waiting = fixture.ledger.apply(&batch);
        let ending = async {
            fixture.until_somebody_waits().await;
            held.execute(end).await.expect("an end");
        };
        let (outcome, ()) = tokio::join!(waiting, ending);
        assert_eq!(outcome.expect("applied").applied, applied, "after {end}");
        assert_eq!(fixture.scores(&BoardId::main()).await, [(1, score, 2)]);
    }
}

#[tokio::test]
async fn a_standing_that_another_transaction_changes_is_waited_for() {
    let fixture = Fixture::with_users(2).await;
    for (change, applied) in [
        ("UPDATE standings SET score = 100, version = 7 WHERE user_id = 1", 2),
        ("UPDATE users SET deleted_at = 9 WHERE id = 1", 1),
    ] {
        let mut other = fixture.connection().await;
        let mut held = other.begin().await.expect("a transaction");
        held.execute("SELECT * FROM standings WHERE user_id = 1 FOR UPDATE").await.expect("a lock");
        held.execute(change).await.expect("a change");
        let batch = [update(&format!("{applied}-a"), 1, 5), update(&format!("{applied}-b"), 2, 1)];
        let waiting = fixture.ledger.apply(&batch);
        let ending = async {
            fixture.until_somebody_waits().await;
            held.commit().await.expect("an end");
        };
        let (outcome, ()) = tokio::join!(waiting, ending);
        assert_eq!(outcome.expect("applied").applied, applied, "{change}");
    }
    fixture.run("UPDATE users SET deleted_at = NULL").await;
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 105, 8), (2, 2, 3)]);
}

#[tokio::test]
async fn a_first_standing_that_another_transaction_adds_is_waited_for() {
    let fixture = Fixture::with_users(1).await;
    fixture.run("INSERT INTO boards VALUES (2, 'side', 'increment', 'desc', 0)").await;
    let side = BoardId::new("side");
    let mut other = fixture.connection().await;
    let mut held = other.begin().await.expect("a transaction");
    held.execute("INSERT INTO standings VALUES (2, 1, 50, 1, 0)").await.expect("a standing");
    let batch = [ScoreUpdate { board: side.clone(), ..update("a", 1, 5) }];
    let ending = async {
        fixture.until_somebody_waits().await;
        held.commit().await.expect("an end");
    };
    let (outcome, ()) = tokio::join!(fixture.ledger.apply(&batch), ending);
    assert_eq!(outcome.expect("applied").applied, 1);
    assert_eq!(fixture.scores(&side).await, [(1, 55, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_users_in_batches_with_ids_of_their_own_lose_nothing() {
    let fixture = Fixture::with_users(USERS).await;
    let workers = (0..WORKERS).map(|worker| {
        let ledger = Arc::clone(&fixture.ledger);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut batch: Vec<_> =
                    (1..=USERS).map(|user| update(&format!("{worker}-{round}-{user}"), user, user)).collect();
                batch.rotate_left(usize::try_from(worker).expect("small"));
                ledger.apply(&batch).await.expect("applied");
            }
        })
    });
    join_all(workers).await.into_iter().for_each(|done| done.expect("a worker"));
    let transactions = WORKERS * ROUNDS;
    let expected: Vec<_> = (1..=USERS).map(|user| (user, user * transactions, 1 + transactions)).collect();
    assert_eq!(fixture.scores(&BoardId::main()).await, expected);
}

#[tokio::test]
async fn a_lock_that_is_never_released_is_unavailable() {
    let fixture = Fixture::with_users(1).await;
    let impatient = PostgresOptions { statement_timeout: Duration::from_millis(200), ..PostgresOptions::default() };
    let impatient = ledger(&fixture.url, impatient);
    let mut other = fixture.connection().await;
    let mut held = other.begin().await.expect("a transaction");
    held.execute("SELECT * FROM standings FOR UPDATE").await.expect("a lock");
    let error = impatient.apply(&[update("a", 1, 5)]).await.expect_err("locked");
    assert_eq!(error.kind, FailureKind::Unavailable);
    held.rollback().await.expect("an end");
    assert_eq!(impatient.apply(&[update("a", 1, 5)]).await.expect("applied").applied, 1);
    impatient.close().await;
}
