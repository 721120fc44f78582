//! What one batch does.

use scorewire_core::domain::{BoardId, Micros, Outcome, Rejection, SCORE_LIMIT, UpdateId};
use scorewire_core::ports::{AppliedBatch, FailureKind, Ledger};

use crate::{Fixture, brief, update, user};

fn counts(batch: &AppliedBatch) -> (u64, u64, u64) {
    (batch.applied, batch.rejected, batch.duplicates)
}

#[tokio::test]
async fn a_repeated_update_changes_nothing_and_brings_the_standing() {
    let fixture = Fixture::with_users(1).await;
    let batch = [update("a", 1, 5)];
    let first = fixture.ledger.apply(&batch).await.expect("applied");
    assert_eq!(counts(&first), (1, 0, 0));
    for _ in 0..3 {
        let again = fixture.ledger.apply(&batch).await.expect("known");
        assert_eq!(counts(&again), (0, 0, 1));
        assert_eq!(again.standings, first.standings);
    }
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 5, 2)]);
}

#[tokio::test]
async fn of_an_id_twice_in_a_batch_the_first_counts() {
    let fixture = Fixture::with_users(2).await;
    let batch =
        fixture.ledger.apply(&[update("a", 2, 5), update("a", 1, 7), update("b", 2, 1)]).await.expect("applied");
    assert_eq!(counts(&batch), (2, 0, 1));
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 0, 1), (2, 6, 2)]);
    let recorded = fixture.ledger.find_update(&UpdateId::new("a")).await.expect("found").expect("recorded");
    assert_eq!((recorded.user, recorded.amount, recorded.score), (user(2), 5, Some(5)));
}

#[tokio::test]
async fn standings_come_in_order_of_appearance_for_new_and_known_updates() {
    let fixture = Fixture::with_users(3).await;
    fixture.ledger.apply(&[update("a", 1, 5)]).await.expect("applied");
    let batch = [update("b", 3, 1), update("a", 1, 5), update("c", 9, 1), update("d", 2, 2), update("e", 3, 1)];
    let batch = fixture.ledger.apply(&batch).await.expect("applied");
    assert_eq!(counts(&batch), (3, 1, 1));
    let standings: Vec<_> = batch.standings.iter().map(|s| brief(&s.standing)).collect();
    assert_eq!(standings, [(3, 2, 2), (1, 5, 2), (2, 2, 2)]);
    assert_eq!(batch.standings[0].name.as_str(), "somebody");
}

#[tokio::test]
async fn what_can_not_be_applied_is_recorded_with_its_reason() {
    let fixture = Fixture::with_users(2).await;
    fixture.run("UPDATE users SET deleted_at = 9 WHERE id = 2").await;
    let batch = [
        update("unknown", 9, 1),
        update("deleted", 2, 1),
        update("up", 1, SCORE_LIMIT),
        update("over", 1, 1),
        update("down", 1, -1),
    ];
    let applied = fixture.ledger.apply(&batch).await.expect("applied");
    assert_eq!(counts(&applied), (2, 3, 0));
    let standings: Vec<_> = applied.standings.iter().map(|s| brief(&s.standing)).collect();
    assert_eq!(standings, [(1, SCORE_LIMIT - 1, 2)]);
    for (id, rejection) in
        [("unknown", Rejection::UnknownUser), ("deleted", Rejection::UserDeleted), ("over", Rejection::ScoreOverflow)]
    {
        let recorded = fixture.ledger.find_update(&UpdateId::new(id)).await.expect("found").expect("recorded");
        assert_eq!((recorded.outcome, recorded.score), (Outcome::Rejected(rejection), None), "{id}");
    }
    assert_eq!(counts(&fixture.ledger.apply(&batch).await.expect("known")), (0, 0, 5));
}

#[tokio::test]
async fn a_batch_is_applied_whole_or_not_at_all() {
    let fixture = Fixture::with_users(2).await;
    // Fails at the last statement, when ids are claimed and outcomes recorded.
    fixture.run("ALTER TABLE standings ADD CONSTRAINT low CHECK (score < 100)").await;
    let batch = [update("a", 1, 5), update("b", 2, 100)];
    let refused = fixture.ledger.apply(&batch).await.expect_err("refused");
    assert_eq!(refused.kind, FailureKind::Rejected);
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 0, 1), (2, 0, 1)]);
    assert_eq!(fixture.ledger.find_update(&UpdateId::new("a")).await.expect("found"), None);
    fixture.run("ALTER TABLE standings DROP CONSTRAINT low").await;
    assert_eq!(counts(&fixture.ledger.apply(&batch).await.expect("applied")), (2, 0, 0));
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 5, 2), (2, 100, 2)]);
}

#[tokio::test]
async fn a_text_with_a_nul_is_rejected() {
    let fixture = Fixture::with_users(1).await;
    for id in ["a\0b", "\0"] {
        let refused = fixture.ledger.apply(&[update("fine", 1, 1), update(id, 1, 1)]).await.expect_err("refused");
        assert_eq!(refused.kind, FailureKind::Rejected, "{refused}");
        let refused = fixture.ledger.find_update(&UpdateId::new(id)).await.expect_err("refused");
        assert_eq!(refused.kind, FailureKind::Rejected, "{refused}");
    }
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 0, 1)]);
    assert_eq!(counts(&fixture.ledger.apply(&[update("fine", 1, 1)]).await.expect("applied")), (1, 0, 0));
}

#[tokio::test]
async fn a_batch_may_name_several_boards_but_only_known_ones() {
    let fixture = Fixture::with_users(2).await;
    let side = BoardId::new("a-side");
    let mut batch = [update("a", 1, 5), update("b", 1, 6), update("c", 2, SCORE_LIMIT), update("a", 2, 7)];
    batch[1].board = side.clone();
    batch[2].board = side.clone();
    let refused = fixture.ledger.apply(&batch).await.expect_err("no such board");
    assert_eq!(refused.kind, FailureKind::Rejected);
    fixture.run("INSERT INTO boards VALUES (2, 'a-side', 'increment', 'desc', 0)").await;
    let applied = fixture.ledger.apply(&batch).await.expect("applied");
    assert_eq!(counts(&applied), (3, 0, 1));
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 5, 2), (2, 0, 1)]);
    // Nobody stood there before: the first change is version 1.
    assert_eq!(fixture.scores(&side).await, [(1, 6, 1), (2, SCORE_LIMIT, 1)]);
}

#[tokio::test]
async fn who_never_scored_on_a_board_does_not_stand_there() {
    let fixture = Fixture::with_users(1).await;
    fixture.run("INSERT INTO boards VALUES (2, 'side', 'increment', 'desc', 0)").await;
    let mut over = update("a", 1, i64::MAX);
    over.board = BoardId::new("side");
    assert_eq!(counts(&fixture.ledger.apply(&[over.clone()]).await.expect("recorded")), (0, 1, 0));
    assert_eq!(fixture.scores(&over.board).await, []);
}

#[tokio::test]
async fn a_recorded_update_is_found_with_all_it_said() {
    let fixture = Fixture::with_users(1).await;
    fixture.ledger.apply(&[update("a", 1, 5), update("b", 1, -2)]).await.expect("applied");
    let record = fixture.ledger.find_update(&UpdateId::new("b")).await.expect("found").expect("recorded");
    assert_eq!(record.board, BoardId::main());
    assert_eq!((record.user, record.amount, record.score), (user(1), -2, Some(3)));
    assert_eq!((record.accepted_at, record.outcome), (Micros(1_000), Outcome::Applied));
    assert_eq!((record.submitter.as_str(), record.request.as_str()), ("tester", "request"));
    assert!(record.decided_at > record.accepted_at);
    assert_eq!(fixture.ledger.find_update(&UpdateId::new("c")).await.expect("found"), None);
    fixture.run("UPDATE updates SET score = NULL, rejection = 'of-a-newer-version'").await;
    let unreadable = fixture.ledger.find_update(&UpdateId::new("b")).await.expect_err("unreadable");
    assert_eq!(unreadable.kind, FailureKind::Corrupt);
}

#[tokio::test]
async fn old_records_are_forgotten_in_chunks_and_standings_stay() {
    let fixture = Fixture::with_users(1).await;
    let batch: Vec<_> = (0..5).map(|i| update(&format!("old-{i}"), 1, 1)).collect();
    fixture.ledger.apply(&batch).await.expect("applied");
    fixture.run("UPDATE updates SET decided_at = 10").await;
    fixture.ledger.apply(&[update("young", 1, 1)]).await.expect("applied");
    assert_eq!(fixture.ledger.forget_updates(Micros(10), 9).await.expect("none is older"), 0);
    for gone in [3, 2, 0] {
        assert_eq!(fixture.ledger.forget_updates(Micros(11), 3).await.expect("forgotten"), gone);
    }
    assert!(fixture.ledger.find_update(&UpdateId::new("young")).await.expect("found").is_some());
    assert_eq!(fixture.scores(&BoardId::main()).await, [(1, 6, 3)]);
}

#[tokio::test]
async fn standings_are_read_in_pages_without_deleted_users() {
    let fixture = Fixture::with_users(4).await;
    fixture.run("UPDATE users SET deleted_at = 9 WHERE id = 2").await;
    for (after, expected) in [(None, vec![1, 3]), (Some(3), vec![4]), (Some(4), vec![])] {
        let page = fixture.ledger.standings(&BoardId::main(), after.map(user), 2).await.expect("it answers");
        let ids: Vec<i64> = page.iter().map(|s| s.standing.user.get()).collect();
        assert_eq!(ids, expected);
    }
    let nowhere = fixture.ledger.standings(&BoardId::new("nowhere"), None, 9).await.expect("it answers");
    assert_eq!(nowhere, []);
}

#[tokio::test]
async fn an_empty_batch_is_nothing() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ledger.apply(&[]).await.expect("nothing"), AppliedBatch::default());
}
