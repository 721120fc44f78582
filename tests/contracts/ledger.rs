//! What every ledger holds: exactly once, whole transactions, versions that count them.

use async_trait::async_trait;
use scorewire_core::domain::{
    BoardId, Micros, NamedStanding, Outcome, Rejection, RequestId, SCORE_LIMIT, ScoreUpdate, Subject, UpdateId,
    UserName,
};
use scorewire_core::ports::{AppliedBatch, FailureKind, Ledger, NewUser, RequestLog, Roster, UserCreation};

use super::{at_once, suite, update, user};

/// A ledger with its roster and the log of requests to sources: all live in one database.
#[async_trait]
pub(super) trait Books: Ledger + Roster + RequestLog {
    /// Prepares every statement of the adapter on its engine.
    async fn prepare_all(&self) -> Result<(), String>;
}

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_ledger,
        postgres: crate::contracts::adapters::postgres_ledger,
    }
    rules {
        every_statement_prepares_on_its_engine,
        an_update_is_applied_at_most_once,
        of_many_at_once_with_one_id_one_is_applied,
        concurrent_batches_all_count,
        a_duplicate_within_a_batch_counts_once,
        a_batch_is_applied_in_its_order,
        a_refused_batch_leaves_nothing_behind,
        an_empty_batch_is_no_transaction,
        a_version_grows_by_one_per_transaction_that_changes_the_standing,
        every_known_user_a_batch_names_is_returned,
        a_score_never_leaves_its_limits,
        a_rejection_holds_up_no_other_update,
        a_decision_is_final,
        a_recorded_update_reads_back_whole,
        an_unknown_update_is_none,
        the_tie_break_is_when_the_score_last_changed,
        standings_are_read_in_pages_by_user_id,
        a_new_user_stands_with_nothing,
        updates_are_forgotten_oldest_first_in_chunks_and_standings_stay,
        scores_that_recorded_updates_do_not_add_up_to_are_named,
        a_probe_changes_nothing,
    }
}

async fn add(books: &dyn Books, id: i64) {
    let new = NewUser { id: Some(user(id)), name: UserName::parse(&format!("user {id}")).expect("a name") };
    let created = books.create_user(&new, Micros(1_600_000_000_000_000)).await.expect("created");
    assert!(matches!(created, UserCreation::Created(..)), "{created:?}");
}

async fn apply(books: &dyn Books, updates: &[ScoreUpdate]) -> AppliedBatch {
    books.apply(updates).await.expect("applied")
}

/// (score, version) of a user; panics where there is no standing.
async fn standing(books: &dyn Books, id: i64) -> (i64, i64) {
    let all = books.standings(&BoardId::main(), None, 1_000).await.expect("standings");
    let named = all.iter().find(|named| named.standing.user == user(id)).expect("a standing");
    (named.standing.score, named.standing.version)
}

fn users_of(standings: &[NamedStanding]) -> Vec<i64> {
    standings.iter().map(|named| named.standing.user.get()).collect()
}

fn counts(batch: &AppliedBatch) -> (u64, u64, u64) {
    (batch.applied, batch.rejected, batch.duplicates)
}

async fn every_statement_prepares_on_its_engine(books: &dyn Books) {
    assert_eq!(books.prepare_all().await, Ok(()));
}

async fn an_update_is_applied_at_most_once(books: &dyn Books) {
    add(books, 1).await;
    assert_eq!(counts(&apply(books, &[update("a", 1, 5)]).await), (1, 0, 0));
    for _ in 0..3 {
        assert_eq!(counts(&apply(books, &[update("a", 1, 5)]).await), (0, 0, 1));
    }
    // The id alone decides, whatever else changed on the way.
    assert_eq!(counts(&apply(books, &[update("a", 1, 500)]).await), (0, 0, 1));
    assert_eq!(standing(books, 1).await, (5, 2));
}

async fn of_many_at_once_with_one_id_one_is_applied(books: &dyn Books) {
    add(books, 1).await;
    let batches = at_once(16, |n| async move {
        let own = format!("own {n}");
        apply(books, &[update("shared", 1, 1_000), update(&own, 1, 1)]).await
    });
    assert_eq!(batches.iter().map(|batch| batch.applied).sum::<u64>(), 17);
    assert_eq!(batches.iter().map(|batch| batch.duplicates).sum::<u64>(), 15);
    assert_eq!(standing(books, 1).await, (1_016, 17));
}

async fn concurrent_batches_all_count(books: &dyn Books) {
    for id in 1..=3 {
        add(books, id).await;
    }
    at_once(8, |thread| async move {
        for batch in 0..10 {
            let updates: Vec<_> = (1..=3).map(|id| update(&format!("{thread}.{batch}.{id}"), id, id)).collect();
            // Each thread in its own order: nobody may deadlock.
            let order: Vec<_> = if thread % 2 == 0 { updates } else { updates.into_iter().rev().collect() };
            assert_eq!(counts(&apply(books, &order).await), (3, 0, 0));
        }
    });
    for id in 1..=3 {
        assert_eq!(standing(books, id).await, (80 * id, 81));
    }
}

async fn a_duplicate_within_a_batch_counts_once(books: &dyn Books) {
    add(books, 1).await;
    let batch = apply(books, &[update("a", 1, 5), update("b", 1, 7), update("a", 1, 5), update("a", 1, 9)]).await;
    assert_eq!(counts(&batch), (2, 0, 2));
    assert_eq!(standing(books, 1).await, (12, 2));
    assert_eq!(users_of(&batch.standings), [1]);
}

async fn a_batch_is_applied_in_its_order(books: &dyn Books) {
    add(books, 1).await;
    // Only in this order does the second overflow and the last not.
    let updates = [("a", SCORE_LIMIT), ("b", 1), ("c", -1), ("d", 1)];
    let batch = apply(books, &updates.map(|(id, amount)| update(id, 1, amount))).await;
    assert_eq!(counts(&batch), (3, 1, 0));
    assert_eq!(standing(books, 1).await.0, SCORE_LIMIT);
    for (id, score) in [("a", Some(SCORE_LIMIT)), ("b", None), ("c", Some(SCORE_LIMIT - 1)), ("d", Some(SCORE_LIMIT))] {
        let record = books.find_update(&UpdateId::new(id)).await.expect("readable").expect("recorded");
        assert_eq!(record.score, score, "{id}");
    }
}

async fn a_refused_batch_leaves_nothing_behind(books: &dyn Books) {
    add(books, 1).await;
    for board in ["a-board-before", "no-such-board", "zz-board-after"] {
        let stranger = ScoreUpdate { board: BoardId::new(board), ..update("stranger", 1, 5) };
        for batch in [vec![update("a", 1, 5), stranger.clone()], vec![stranger, update("a", 1, 5)]] {
            let error = books.apply(&batch).await.expect_err("no such board");
            assert_eq!(error.kind, FailureKind::Rejected, "{error}");
        }
    }
    assert_eq!(standing(books, 1).await, (0, 1));
    for id in ["a", "stranger"] {
        assert_eq!(books.find_update(&UpdateId::new(id)).await.expect("readable"), None);
    }
    // And the ledger goes on.
    assert_eq!(counts(&apply(books, &[update("a", 1, 5)]).await), (1, 0, 0));
}

async fn an_empty_batch_is_no_transaction(books: &dyn Books) {
    add(books, 1).await;
    assert_eq!(apply(books, &[]).await, AppliedBatch::default());
    assert_eq!(standing(books, 1).await, (0, 1));
}

async fn a_version_grows_by_one_per_transaction_that_changes_the_standing(books: &dyn Books) {
    add(books, 1).await;
    add(books, 2).await;
    assert_eq!(standing(books, 1).await, (0, 1));
    apply(books, &[update("a", 1, 1), update("b", 1, 1), update("c", 2, 1)]).await;
    assert_eq!((standing(books, 1).await, standing(books, 2).await), ((2, 2), (1, 2)));
    apply(books, &[update("d", 1, 1), update("c", 2, 1)]).await;
    assert_eq!((standing(books, 1).await, standing(books, 2).await), ((3, 3), (1, 2)), "2 was a duplicate");
    apply(books, &[update("e", 1, SCORE_LIMIT)]).await;
    assert_eq!(standing(books, 1).await, (3, 3), "a rejection changes no standing");
}

async fn every_known_user_a_batch_names_is_returned(books: &dyn Books) {
    for id in 1..=4 {
        add(books, id).await;
    }
    apply(books, &[update("old", 3, 30)]).await;
    let updates = [
        update("n1", 4, 4),
        update("old", 3, 30),
        update("n2", 99, 1),
        update("n3", 2, SCORE_LIMIT),
        update("n4", 4, 1),
    ];
    let first = apply(books, &updates).await;
    assert_eq!(users_of(&first.standings), [4, 3, 2], "new and duplicate alike, in order of appearance, each once");
    let of_3 = &first.standings[1];
    assert_eq!((of_3.standing.score, of_3.standing.version, of_3.name.as_str()), (30, 2, "user 3"));
    // The whole batch again: what a crash kept from being published is there to be published.
    let again = apply(books, &updates).await;
    assert_eq!((again.duplicates, &again.standings), (5, &first.standings));
}

async fn a_score_never_leaves_its_limits(books: &dyn Books) {
    add(books, 1).await;
    add(books, 2).await;
    apply(books, &[update("a", 1, SCORE_LIMIT), update("b", 2, -SCORE_LIMIT)]).await;
    let batch = apply(books, &[update("c", 1, 1), update("d", 2, -1), update("e", 1, SCORE_LIMIT)]).await;
    assert_eq!(counts(&batch), (0, 3, 0));
    assert_eq!((standing(books, 1).await.0, standing(books, 2).await.0), (SCORE_LIMIT, -SCORE_LIMIT));
    apply(books, &[update("f", 1, -SCORE_LIMIT), update("g", 1, -SCORE_LIMIT)]).await;
    assert_eq!(standing(books, 1).await.0, -SCORE_LIMIT, "from end to end");
}

async fn a_rejection_holds_up_no_other_update(books: &dyn Books) {
    add(books, 1).await;
    let batch = apply(books, &[update("a", 99, 5), update("b", 1, 5), update("c", 98, 5)]).await;
    assert_eq!(counts(&batch), (1, 2, 0));
    assert_eq!(users_of(&batch.standings), [1]);
    let record = books.find_update(&UpdateId::new("a")).await.expect("readable").expect("recorded");
    assert_eq!((record.outcome, record.score), (Outcome::Rejected(Rejection::UnknownUser), None));
}

async fn a_decision_is_final(books: &dyn Books) {
    apply(books, &[update("a", 7, 5)]).await;
    add(books, 7).await;
    assert_eq!(counts(&apply(books, &[update("a", 7, 5)]).await), (0, 0, 1));
    assert_eq!(standing(books, 7).await, (0, 1));
}

async fn a_recorded_update_reads_back_whole(books: &dyn Books) {
    add(books, 1).await;
    let strange = "O'Brien \"\\ \n\t 李 🦀 %_ \u{7f}";
    let sent = ScoreUpdate {
        accepted_at: Micros(1_712_345_678_901_234),
        submitter: Subject::new(strange),
        request: RequestId::new("r-1"),
        attempt: 4,
        ..update(&format!("id {strange}"), 1, -SCORE_LIMIT)
    };
    apply(books, std::slice::from_ref(&sent)).await;
    let record = books.find_update(&sent.id).await.expect("readable").expect("recorded");
    assert_eq!((&record.id, &record.board, record.user), (&sent.id, &sent.board, sent.user));
    assert_eq!((record.amount, record.accepted_at), (-SCORE_LIMIT, sent.accepted_at));
    assert_eq!((&record.submitter, &record.request), (&sent.submitter, &sent.request));
    assert_eq!((record.outcome, record.score), (Outcome::Applied, Some(-SCORE_LIMIT)));
    assert_eq!(record.attempts, 4, "the try that decided it");
    assert!(record.decided_at > sent.accepted_at);
}

async fn an_unknown_update_is_none(books: &dyn Books) {
    add(books, 1).await;
    apply(books, &[update("a", 1, 5)]).await;
    for id in ["b", "A", "", " a", "a ", "a%", "_", "' OR 1=1 --", &"x".repeat(10_000)] {
        assert_eq!(books.find_update(&UpdateId::new(id)).await.expect("readable"), None, "{id:?}");
    }
}

async fn the_tie_break_is_when_the_score_last_changed(books: &dyn Books) {
    add(books, 1).await;
    let at = |id: &str, amount, micros| ScoreUpdate { accepted_at: Micros(micros), ..update(id, 1, amount) };
    let now = 1_700_000_000_000_000;
    apply(books, &[at("a", 5, now + 9)]).await;
    // One that was accepted earlier and applied later does not turn time back; one that is rejected does nothing.
    apply(books, &[at("b", 5, now + 3), at("c", SCORE_LIMIT, now + 20)]).await;
    let standings = books.standings(&BoardId::main(), None, 10).await.expect("standings");
    assert_eq!((standings[0].standing.score, standings[0].standing.reached_at), (10, Micros(now + 9)));
}

async fn standings_are_read_in_pages_by_user_id(books: &dyn Books) {
    let board = BoardId::main();
    assert_eq!(books.standings(&board, None, 10).await.expect("standings"), []);
    for id in [5, 1, SCORE_LIMIT, 3] {
        add(books, id).await;
    }
    let page = async |after: Option<i64>, limit| {
        users_of(&books.standings(&board, after.map(user), limit).await.expect("standings"))
    };
    assert_eq!(page(None, 2).await, [1, 3]);
    assert_eq!(page(Some(3), 2).await, [5, SCORE_LIMIT]);
    assert_eq!(page(Some(4), 1).await, [5]);
    assert_eq!(page(Some(SCORE_LIMIT), 2).await, [0; 0]);
    assert_eq!(books.standings(&BoardId::new("no-such-board"), None, 10).await.expect("standings"), []);
}

async fn a_new_user_stands_with_nothing(books: &dyn Books) {
    add(books, 1).await;
    let standings = books.standings(&BoardId::main(), None, 10).await.expect("standings");
    let [NamedStanding { standing, name }] = standings.as_slice() else { panic!("one standing: {standings:?}") };
    assert_eq!((standing.score, standing.version, name.as_str()), (0, 1, "user 1"));
    assert_eq!(standing.reached_at, Micros(1_600_000_000_000_000));
}

async fn updates_are_forgotten_oldest_first_in_chunks_and_standings_stay(books: &dyn Books) {
    add(books, 1).await;
    for n in 0..5 {
        apply(books, &[update(&format!("u{n}"), 1, 1)]).await;
    }
    let record = async |n: usize| books.find_update(&UpdateId::new(format!("u{n}"))).await.expect("readable");
    let first = record(0).await.expect("recorded").decided_at;
    assert_eq!(books.forget_updates(first, 100).await.expect("forgotten"), 0, "decided before, not at, that time");
    let end = Micros(i64::MAX);
    assert_eq!(books.forget_updates(end, 2).await.expect("forgotten"), 2);
    assert_eq!([record(0).await.is_some(), record(1).await.is_some(), record(2).await.is_some()], [false, false, true]);
    assert_eq!(books.forget_updates(end, 100).await.expect("forgotten"), 3);
    assert_eq!(books.forget_updates(end, 100).await.expect("forgotten"), 0);
    assert_eq!(standing(books, 1).await, (5, 6));
}

async fn scores_that_recorded_updates_do_not_add_up_to_are_named(books: &dyn Books) {
    for id in 1..=3 {
        add(books, id).await;
    }
    apply(books, &[update("a", 1, 5), update("b", 1, -7), update("c", 2, 9), update("d", 404, 3)]).await;
    assert_eq!(books.unexplained(&BoardId::main()).await.expect("added up"), []);
    let forgotten = books.forget_updates(Micros(i64::MAX), 2).await.expect("forgotten");
    assert_eq!(forgotten, 2);
    apply(books, &[update("e", 1, 1), update("f", 2, 1), update("g", 3, 1)]).await;
    let unexplained = books.unexplained(&BoardId::main()).await.expect("added up");
    assert!(!unexplained.is_empty(), "two updates are missing");
    for named in unexplained {
        let (score, _) = standing(books, named.user.get()).await;
        assert_eq!(named.score, score);
        assert_ne!(named.recorded, score);
        assert_eq!(named.user_since, Micros(1_600_000_000_000_000));
    }
    assert_eq!(books.unexplained(&BoardId::new("other")).await.expect("added up"), []);
}

async fn a_probe_changes_nothing(books: &dyn Books) {
    add(books, 1).await;
    books.probe().await.expect("well");
    at_once(4, |n| async move {
        books.probe().await.expect("well, though others write");
        apply(books, &[update(&n.to_string(), 1, 1)]).await;
    });
    assert_eq!(standing(books, 1).await, (4, 5));
}
