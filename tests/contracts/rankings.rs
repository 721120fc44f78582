//! What every ranking holds: newer versions only, told once, and a snapshot that belongs to its place in the topic.

use std::sync::Arc;

use scorewire_core::domain::{
    BoardId, Event, Message, Micros, NamedStanding, Position, SCORE_LIMIT, Standing, TopicName, UserName,
};
use scorewire_core::ports::{BoardSnapshot, Rankings, Topics};
use serde_json::{Value, json};

use super::{at_once, suite, user};
use crate::support::within;

/// Rows of a `top` message, as every adapter is set up.
pub(super) const TOP_ROWS: usize = 10;

/// Rankings with the topics they publish to.
pub(super) struct Boards {
    pub(super) rankings: Arc<dyn Rankings>,
    pub(super) topics: Arc<dyn Topics>,
}

suite! {
    adapters {
        memory: crate::contracts::adapters::memory_rankings,
        redis: crate::contracts::adapters::redis_rankings,
    }
    rules {
        an_empty_board_has_no_rows,
        rows_are_ordered_by_score_then_time_then_id,
        a_page_is_a_part_of_the_order,
        scores_are_exact_at_their_limits,
        only_a_newer_version_is_news,
        a_repeat_is_invisible,
        a_change_is_told_as_update_and_top,
        a_change_below_the_top_is_told_as_update_alone,
        a_new_user_without_a_score_changes_the_top_alone,
        an_increment_counts_from_what_was_published_last,
        a_batch_tells_ranks_as_they_are_after_it,
        what_is_published_is_announced,
        restoring_is_silent_and_never_turns_back,
        boards_do_not_mix,
        a_snapshot_belongs_to_its_position,
    }
}

pub(super) fn named_at(id: i64, score: i64, version: i64, reached_at: i64) -> NamedStanding {
    let standing = Standing { board: BoardId::main(), user: user(id), score, version, reached_at: Micros(reached_at) };
    NamedStanding { standing, name: UserName::parse(&format!("user {id}")).expect("a name") }
}

pub(super) fn named(id: i64, score: i64, version: i64) -> NamedStanding {
    named_at(id, score, version, 1_700_000_000_000_000 + id)
}

fn row(rank: u64, id: i64, score: i64) -> Value {
    json!({ "rank": rank, "userId": id, "user": format!("user {id}"), "score": score })
}

fn told(id: i64, score: i64, rank: u64, increment: i128) -> Value {
    json!({ "user": format!("user {id}"), "score": score, "userId": id, "rank": rank, "increment": increment })
}

impl Boards {
    pub(super) async fn publish(&self, standings: &[NamedStanding]) -> u64 {
        self.rankings.publish(&BoardId::main(), standings).await.expect("published")
    }

    pub(super) async fn rows(&self, offset: usize, limit: usize) -> Vec<(u64, i64, i64)> {
        let rows = self.rankings.page(&BoardId::main(), offset, limit).await.expect("rows");
        rows.iter().map(|row| (row.rank, row.user_id, row.score)).collect()
    }

    pub(super) async fn snapshot(&self) -> BoardSnapshot {
        self.rankings.snapshot(&BoardId::main()).await.expect("a snapshot")
    }

    /// Messages of board `main` after a place.
    async fn messages(&self, place: &Position) -> Vec<Arc<Message>> {
        let topic = TopicName::of_board(&BoardId::main());
        self.topics.after(&topic, place, 1_000).await.expect("readable").expect("kept")
    }

    /// What viewers were told after a place.
    async fn told(&self, place: &Position) -> Vec<(&'static str, Value)> {
        let messages = self.messages(place).await;
        let name = |event: &Event| match event {
            Event::Update => "update",
            Event::Top => "top",
            other => panic!("boards do not say {other}"),
        };
        messages.iter().map(|m| (name(&m.event), serde_json::from_str(&m.data).expect("JSON"))).collect()
    }
}

async fn an_empty_board_has_no_rows(boards: &Boards) {
    assert_eq!(boards.rows(0, 10).await, []);
    assert_eq!(boards.rankings.row(&BoardId::main(), user(1)).await.expect("readable"), None);
    assert_eq!(&*boards.snapshot().await.top, "[]");
    assert_eq!(boards.publish(&[]).await, 0);
    assert_eq!(boards.snapshot().await.position.offset, 0, "nothing was told of nothing");
}

async fn rows_are_ordered_by_score_then_time_then_id(boards: &Boards) {
    let standings = [(1, 50, 9), (2, 70, 5), (3, 50, 3), (4, 10, 1), (6, 50, 9), (5, 70, 5)];
    boards.publish(&standings.map(|(id, score, at)| named_at(id, score, 1, at))).await;
    let expected = [(1, 2, 70), (1, 5, 70), (3, 3, 50), (3, 1, 50), (3, 6, 50), (6, 4, 10)];
    assert_eq!(boards.rows(0, 10).await, expected);
    for (rank, id, score) in expected {
        let row = boards.rankings.row(&BoardId::main(), user(id)).await.expect("readable").expect("a row");
        assert_eq!((row.rank, row.user_id, row.score, row.user), (rank, id, score, format!("user {id}")));
    }
    assert_eq!(boards.rankings.row(&BoardId::main(), user(7)).await.expect("readable"), None);
    // A tie that is reached later stands behind.
    boards.publish(&[named_at(4, 70, 2, 20)]).await;
    assert_eq!(boards.rows(0, 4).await, [(1, 2, 70), (1, 5, 70), (1, 4, 70), (4, 3, 50)]);
}

async fn a_page_is_a_part_of_the_order(boards: &Boards) {
    let standings: Vec<_> = (1..=1_500).map(|id| named(id, id % 100, 1)).collect();
    boards.publish(&standings).await;
    let all = boards.rows(0, 2_000).await;
    assert_eq!(all.len(), 1_500);
    for (offset, limit) in [(0, 1), (1, 10), (7, 100), (14, 2), (700, 50), (1_499, 10), (1_490, 100)] {
        assert_eq!(boards.rows(offset, limit).await, all[offset..(offset + limit).min(1_500)], "{offset} {limit}");
    }
    for past in [1_500, 1_501, usize::MAX] {
        assert_eq!(boards.rows(past, 10).await, []);
    }
    assert_eq!(boards.rows(3, 0).await, []);
}

async fn scores_are_exact_at_their_limits(boards: &Boards) {
    let scores = [SCORE_LIMIT, SCORE_LIMIT - 1, 0, 1 - SCORE_LIMIT, -SCORE_LIMIT];
    let standings: Vec<_> =
        (1..).zip(scores).map(|(id, score)| named_at(id, score, 1, 1_799_999_999_999_999)).collect();
    boards.publish(&standings).await;
    let expected: Vec<_> = (1..).zip(1..).zip(scores).map(|((rank, id), score)| (rank, id, score)).collect();
    assert_eq!(boards.rows(0, 10).await, expected);
    // Microseconds tell ties apart even there.
    boards.publish(&[named_at(6, SCORE_LIMIT, 1, 1_799_999_999_999_998)]).await;
    assert_eq!(boards.rows(0, 2).await, [(1, 6, SCORE_LIMIT), (1, 1, SCORE_LIMIT)]);
}

async fn only_a_newer_version_is_news(boards: &Boards) {
    assert_eq!(boards.publish(&[named(1, 10, 5), named(2, 20, 5)]).await, 2);
    assert_eq!(boards.publish(&[named(1, 99, 5), named(2, 99, 4), named(3, 30, 1)]).await, 1);
    assert_eq!(boards.rows(0, 10).await, [(1, 3, 30), (2, 2, 20), (3, 1, 10)]);
    assert_eq!(boards.publish(&[named(2, 5, 9)]).await, 1, "versions in between may be skipped, scores may fall");
    assert_eq!(boards.rows(0, 10).await, [(1, 3, 30), (2, 1, 10), (3, 2, 5)]);
}

async fn a_repeat_is_invisible(boards: &Boards) {
    let standings = [named(1, 10, 2), named(2, 20, 2)];
    boards.publish(&standings).await;
    let before = boards.snapshot().await;
    for _ in 0..3 {
        assert_eq!(boards.publish(&standings).await, 0);
    }
    assert_eq!(boards.snapshot().await, before);
}

async fn a_change_is_told_as_update_and_top(boards: &Boards) {
    let begin = boards.snapshot().await.position;
    boards.publish(&[named(1, 10, 2)]).await;
    let expected = [("update", told(1, 10, 1, 10)), ("top", json!([row(1, 1, 10)]))];
    assert_eq!(boards.told(&begin).await, expected);
    let now = boards.snapshot().await;
    assert_eq!(now.position.offset, 2);
    assert_eq!(serde_json::from_str::<Value>(&now.top).expect("JSON"), json!([row(1, 1, 10)]));
}

async fn a_change_below_the_top_is_told_as_update_alone(boards: &Boards) {
    boards.publish(&(1..=10).map(|id| named(id, 100, 1)).collect::<Vec<_>>()).await;
    let place = boards.snapshot().await.position;
    boards.publish(&[named(11, 50, 1)]).await;
    assert_eq!(boards.told(&place).await, [("update", told(11, 50, 11, 50))]);
    let top: Value = serde_json::from_str(&boards.snapshot().await.top).expect("JSON");
    assert_eq!(top.as_array().map(Vec::len), Some(TOP_ROWS));
}

async fn a_new_user_without_a_score_changes_the_top_alone(boards: &Boards) {
    let place = boards.snapshot().await.position;
    boards.publish(&[named(1, 0, 1)]).await;
    assert_eq!(boards.told(&place).await, [("top", json!([row(1, 1, 0)]))]);
}

async fn an_increment_counts_from_what_was_published_last(boards: &Boards) {
    boards.publish(&[named(1, 10, 1)]).await;
    let place = boards.snapshot().await.position;
    boards.publish(&[named(1, 4, 2)]).await;
    boards.publish(&[named(1, -SCORE_LIMIT, 7)]).await;
    boards.publish(&[named(1, SCORE_LIMIT, 8)]).await;
    let told = boards.told(&place).await;
    let increments: Vec<_> =
        told.iter().filter(|(event, _)| *event == "update").map(|(_, data)| &data["increment"]).collect();
    assert_eq!(increments, [&json!(-6), &json!(-SCORE_LIMIT - 4), &json!(2 * SCORE_LIMIT)]);
}

async fn a_batch_tells_ranks_as_they_are_after_it(boards: &Boards) {
    let begin = boards.snapshot().await.position;
    boards.publish(&[named(1, 10, 1), named(2, 30, 1), named(3, 20, 1)]).await;
    let expected = [
        ("update", told(1, 10, 3, 10)),
        ("update", told(2, 30, 1, 30)),
        ("update", told(3, 20, 2, 20)),
        ("top", json!([row(1, 2, 30), row(2, 3, 20), row(3, 1, 10)])),
    ];
    assert_eq!(boards.told(&begin).await, expected);
}

async fn what_is_published_is_announced(boards: &Boards) {
    let begin = boards.snapshot().await.position;
    let mut announcements = boards.topics.announcements();
    boards.publish(&[named(1, 10, 1), named(2, 20, 1)]).await;
    boards.publish(&[named(1, 10, 1)]).await;
    boards.publish(&[named(1, 11, 2)]).await;
    let mut heard = Vec::new();
    while heard.len() < 5 {
        let announced = within("an announcement", announcements.recv()).await.expect("none was missed");
        assert_eq!(announced.topic, TopicName::of_board(&BoardId::main()));
        heard.extend(announced.messages.iter().cloned());
    }
    assert_eq!(heard, boards.messages(&begin).await);
}

async fn restoring_is_silent_and_never_turns_back(boards: &Boards) {
    let main = BoardId::main();
    let begin = boards.snapshot().await.position;
    boards.rankings.restore(&main, &[named(1, 10, 5), named(2, 20, 5)]).await.expect("restored");
    let restored = boards.snapshot().await;
    assert_eq!(restored.position, begin);
    assert_eq!(serde_json::from_str::<Value>(&restored.top).expect("JSON"), json!([row(1, 2, 20), row(2, 1, 10)]));
    boards.rankings.restore(&main, &[named(1, 99, 4), named(2, 99, 5)]).await.expect("restored");
    assert_eq!(boards.rows(0, 10).await, [(1, 2, 20), (2, 1, 10)]);
    assert_eq!(boards.publish(&[named(1, 10, 5)]).await, 0, "what was restored is known");
    assert_eq!(boards.publish(&[named(1, 15, 6)]).await, 1);
    assert_eq!(boards.told(&begin).await[0], ("update", told(1, 15, 2, 5)));
}

async fn boards_do_not_mix(boards: &Boards) {
    let other = BoardId::new("other");
    boards.publish(&[named(1, 10, 1)]).await;
    let place = boards.snapshot().await.position;
    boards.rankings.publish(&other, &[named(1, 99, 9), named(2, 5, 1)]).await.expect("published");
    assert_eq!(boards.snapshot().await.position, place);
    assert_eq!(boards.rows(0, 10).await, [(1, 1, 10)]);
    let of_other = boards.rankings.snapshot(&other).await.expect("a snapshot");
    assert_ne!(of_other.position.epoch, place.epoch);
    assert_eq!(of_other.position, boards.topics.position(&TopicName::of_board(&other)).await.expect("a place"));
}

async fn a_snapshot_belongs_to_its_position(boards: &Boards) {
    let begin = boards.snapshot().await.position;
    let snapshots = at_once(6, |thread| async move {
        let mut snapshots = Vec::new();
        for n in 1..=60 {
            if thread < 3 {
                let id = i64::try_from(thread).expect("small") + 1;
                boards.publish(&[named(id, n * 10 + id, n + 1)]).await;
            } else {
                snapshots.push(boards.snapshot().await);
            }
        }
        snapshots
    });
    let messages = boards.messages(&begin).await;
    let tops = || messages.iter().filter(|message| message.event == Event::Top);
    for snapshot in snapshots.into_iter().flatten() {
        // A viewer that begins here sees, in this very state, what the topic said last.
        let last = tops().rfind(|top| top.offset <= snapshot.position.offset);
        assert_eq!(*snapshot.top, *last.map_or("[]", |top| &top.data), "at {}", snapshot.position);
    }
}
