//! What every ranking holds while it is rebuilt and compared: whole or stale, and drift is seen for what it is.

use scorewire_core::domain::{BoardId, TopicName};
use scorewire_core::ports::Drift;

use super::rankings::{Boards, named, named_at};
use super::{suite, user};
use crate::support::within;

suite! {
    adapters {
        memory: crate::contracts::adapters::memory_rankings,
        redis: crate::contracts::adapters::redis_rankings,
    }
    rules {
        a_rebuilt_board_holds_what_was_restored_and_nothing_else,
        viewers_of_a_rebuilt_board_begin_a_new_life,
        of_overlapping_attempts_the_latest_counts,
        equal_standings_do_not_drift,
        drift_names_the_version_that_is_held,
        a_board_knows_its_size,
    }
}

async fn rebuild(boards: &Boards, standings: &[scorewire_core::domain::NamedStanding]) {
    let building = boards.rankings.begin(&BoardId::main()).await.expect("begun");
    boards.rankings.restore(&BoardId::main(), standings).await.expect("restored");
    boards.rankings.finish(building).await.expect("finished");
}

async fn a_rebuilt_board_holds_what_was_restored_and_nothing_else(boards: &Boards) {
    boards.publish(&[named(1, 10, 9), named(2, 20, 9), named(3, 30, 9)]).await;
    rebuild(boards, &[named(1, 5, 2), named(2, 6, 3)]).await;
    assert_eq!(boards.rows(0, 10).await, [(1, 2, 6), (2, 1, 5)]);
    assert!(!boards.rankings.is_stale(&BoardId::main()).await.expect("a look"));
    assert_eq!(boards.publish(&[named(1, 7, 3)]).await, 1, "versions count from what was restored");
}

async fn viewers_of_a_rebuilt_board_begin_a_new_life(boards: &Boards) {
    boards.publish(&[named(1, 10, 1)]).await;
    let before = boards.snapshot().await.position;
    let mut announcements = boards.topics.announcements();
    rebuild(boards, &[named(1, 11, 2)]).await;
    let announced = within("a word to viewers", announcements.recv()).await.expect("none was missed");
    assert_eq!((announced.topic, announced.messages.len()), (TopicName::of_board(&BoardId::main()), 0));
    let after = boards.snapshot().await;
    assert_ne!(after.position.epoch, before.epoch);
    assert_eq!(after.position.epoch, announced.epoch);
    assert!(after.top.contains("\"score\":11"), "{}", after.top);
    let topic = TopicName::of_board(&BoardId::main());
    assert!(boards.topics.after(&topic, &before, 10).await.expect("readable").is_err(), "the old place is lost");
}

async fn of_overlapping_attempts_the_latest_counts(boards: &Boards) {
    let main = BoardId::main();
    let first = boards.rankings.begin(&main).await.expect("begun");
    boards.rankings.restore(&main, &[named(1, 1, 1)]).await.expect("restored");
    let second = boards.rankings.begin(&main).await.expect("begun");
    boards.rankings.restore(&main, &[named(2, 2, 1)]).await.expect("restored");
    boards.rankings.finish(first).await.expect_err("another began since");
    boards.rankings.finish(second).await.expect("finished");
    assert_eq!(boards.rows(0, 10).await, [(1, 2, 2)]);
}

async fn drift(boards: &Boards, standings: &[scorewire_core::domain::NamedStanding]) -> Vec<Drift> {
    boards.rankings.compare(&BoardId::main(), standings).await.expect("compared")
}

async fn equal_standings_do_not_drift(boards: &Boards) {
    let standings: Vec<_> = (1..=1_200).map(|id| named(id, id * 3 - 600, id % 7)).collect();
    boards.publish(&standings).await;
    assert_eq!(drift(boards, &standings).await, []);
    assert_eq!(drift(boards, &[]).await, []);
}

async fn drift_names_the_version_that_is_held(boards: &Boards) {
    boards.publish(&[named_at(1, 10, 5, 1), named_at(2, 20, 5, 2), named_at(3, 30, 5, 3)]).await;
    let ledger = [
        named_at(1, 12, 6, 4),
        named_at(2, 21, 5, 2),
        named_at(3, 25, 4, 1),
        named_at(4, 1, 1, 1),
        named_at(5, 0, 0, 0),
    ];
    let held = |id, held| Drift { user: user(id), held };
    let expected = [held(1, Some(5)), held(2, Some(5)), held(3, Some(5)), held(4, None), held(5, None)];
    assert_eq!(drift(boards, &ledger).await, expected);
}

async fn a_board_knows_its_size(boards: &Boards) {
    assert_eq!(boards.rankings.size(&BoardId::main()).await.expect("a size"), 0);
    boards.publish(&[named(1, 10, 1), named(2, 0, 1)]).await;
    boards.publish(&[named(1, 11, 2)]).await;
    assert_eq!(boards.rankings.size(&BoardId::main()).await.expect("a size"), 2);
}
