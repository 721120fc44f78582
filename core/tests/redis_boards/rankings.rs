//! What the rankings' port promises.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use scorewire_core::domain::{NamedStanding, SCORE_LIMIT, UserName};

use crate::adapters::{Adapters, Kind, PLENTY, TOP_ROWS, at, for_both, hear, said, standing, user};

for_both! {
    a_repeat_or_an_older_version_is_invisible,
    increments_are_differences_from_what_was_published_last,
    ties_share_a_rank_and_the_earlier_stands_first,
    names_arrive_as_they_are,
    scores_and_increments_are_exact_up_to_their_limits,
    a_snapshot_and_its_position_belong_together,
    restoring_is_silent_and_the_next_top_is_right,
    many_standings_are_published_and_paged,
}

async fn publish(adapters: &Adapters, standings: &[NamedStanding]) -> u64 {
    adapters.rankings.publish(&adapters.board, standings).await.expect("published")
}

async fn updates(adapters: &Adapters) -> Vec<String> {
    said(&adapters.log().await).into_iter().filter(|(event, _)| *event == "update").map(|(_, data)| data).collect()
}

async fn page(adapters: &Adapters, offset: usize, limit: usize) -> Vec<(u64, i64, i64)> {
    let rows = adapters.rankings.page(&adapters.board, offset, limit).await.expect("available");
    rows.iter().map(|row| (row.rank, row.user_id, row.score)).collect()
}

async fn a_repeat_or_an_older_version_is_invisible(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    assert_eq!(publish(&adapters, &[standing(1, 50, 3, 1), standing(2, 60, 3, 1)]).await, 2);
    let before = (adapters.log().await, adapters.rankings.snapshot(&adapters.board).await.expect("available"));
    assert_eq!(publish(&adapters, &[standing(1, 50, 3, 1), standing(2, 60, 3, 1)]).await, 0);
    assert_eq!(publish(&adapters, &[standing(1, 99, 2, 9)]).await, 0);
    let after = (adapters.log().await, adapters.rankings.snapshot(&adapters.board).await.expect("available"));
    assert_eq!(before, after);
    assert_eq!(publish(&adapters, &[standing(1, 50, 3, 1), standing(2, 55, 4, 1)]).await, 1);
    assert_eq!(page(&adapters, 0, 9).await, [(1, 2, 55), (2, 1, 50)]);
}

async fn increments_are_differences_from_what_was_published_last(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let mut heard = adapters.topics.announcements();
    publish(&adapters, &[standing(1, 50, 2, 1), standing(2, 0, 1, 1)]).await;
    publish(&adapters, &[standing(1, 45, 5, 2), standing(2, 70, 4, 3)]).await;
    publish(&adapters, &[standing(1, 45, 6, 2)]).await;
    let log = adapters.log().await;
    let expected = [
        ("update", r#"{"user":"user 1","score":50,"userId":1,"rank":1,"increment":50}"#),
        (
            "top",
            r#"[{"rank":1,"userId":1,"user":"user 1","score":50},{"rank":2,"userId":2,"user":"user 2","score":0}]"#,
        ),
        ("update", r#"{"user":"user 1","score":45,"userId":1,"rank":2,"increment":-5}"#),
        ("update", r#"{"user":"user 2","score":70,"userId":2,"rank":1,"increment":70}"#),
        (
            "top",
            r#"[{"rank":1,"userId":2,"user":"user 2","score":70},{"rank":2,"userId":1,"user":"user 1","score":45}]"#,
        ),
    ];
    assert_eq!(said(&log), expected.map(|(event, data)| (event, data.to_owned())));
    assert_eq!(hear(&mut heard, 5).await, log, "announced as they stand in the log");
}

async fn ties_share_a_rank_and_the_earlier_stands_first(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let standings = [
        standing(9, 50, 1, 9),
        standing(2, 70, 1, 5),
        standing(3, 50, 1, 3),
        standing(4, 10, 1, 1),
        standing(8, 50, 1, 9),
    ];
    publish(&adapters, &standings).await;
    assert_eq!(page(&adapters, 0, 9).await, [(1, 2, 70), (2, 3, 50), (2, 8, 50), (2, 9, 50), (5, 4, 10)]);
    assert_eq!(page(&adapters, 2, 2).await, [(2, 8, 50), (2, 9, 50)], "a page in the middle of a tie");
    assert_eq!(page(&adapters, 3, 9).await, [(2, 9, 50), (5, 4, 10)]);
    assert_eq!(page(&adapters, 5, 9).await, []);
    assert_eq!(page(&adapters, 0, 0).await, []);
    assert_eq!(page(&adapters, usize::MAX, usize::MAX).await, []);
    let row = adapters.rankings.row(&adapters.board, user(9)).await.expect("available").expect("on the board");
    assert_eq!((row.rank, row.user_id, row.user.as_str(), row.score), (2, 9, "user 9", 50));
    assert_eq!(adapters.rankings.row(&adapters.board, user(77)).await.expect("available"), None);
}

async fn names_arrive_as_they_are(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let names = [r#"the "rock""#, r"back\slash\n", "👩‍🚀 Zoë 李", "</script>", "\u{2028}", "%s %.0f", "a b  c"];
    for (id, name) in (1..).zip(names) {
        let named = NamedStanding { name: UserName::stored(name.to_owned()), ..standing(id, id, 1, 1) };
        publish(&adapters, &[named]).await;
        let log = adapters.log().await;
        let update = log.iter().rfind(|message| message.event.name() == "update").expect("published");
        let json = serde_json::to_string(name).expect("a string");
        let expected = format!(r#"{{"user":{json},"score":{id},"userId":{id},"rank":1,"increment":{id}}}"#);
        assert_eq!(*update.data, *expected);
        let row = adapters.rankings.row(&adapters.board, user(id)).await.expect("available").expect("on the board");
        assert_eq!(row.user, name);
        let top = adapters.rankings.snapshot(&adapters.board).await.expect("available").top;
        let rows = adapters.rankings.page(&adapters.board, 0, TOP_ROWS).await.expect("available");
        assert_eq!(*top, *serde_json::to_string(&rows).expect("rows"));
    }
}

async fn scores_and_increments_are_exact_up_to_their_limits(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let scores = [
        SCORE_LIMIT,
        -SCORE_LIMIT,
        SCORE_LIMIT - 1,
        -(SCORE_LIMIT - 1),
        -SCORE_LIMIT,
        SCORE_LIMIT - 2,
        -2,
        SCORE_LIMIT,
        -1,
        SCORE_LIMIT - 1,
        1_000_000_000_000_000,
        -SCORE_LIMIT + 9_999_999,
        0,
    ];
    let mut previous = 0_i128;
    for (version, score) in (1..).zip(scores) {
        let id = SCORE_LIMIT;
        publish(&adapters, &[standing(id, score, version, 1_700_000_000_000_000 + version)]).await;
        let increment = i128::from(score) - previous;
        previous = score.into();
        let expected =
            format!(r#"{{"user":"user {id}","score":{score},"userId":{id},"rank":1,"increment":{increment}}}"#);
        assert_eq!(updates(&adapters).await.last(), Some(&expected));
        assert_eq!(page(&adapters, 0, 1).await, [(1, id, score)]);
        let top = format!(r#"[{{"rank":1,"userId":{id},"user":"user {id}","score":{score}}}]"#);
        assert_eq!(*adapters.rankings.snapshot(&adapters.board).await.expect("available").top, *top);
    }
}

async fn a_snapshot_and_its_position_belong_together(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let publishers: Vec<_> = (1..=4)
        .map(|id| {
            let (rankings, board) = (Arc::clone(&adapters.rankings), adapters.board.clone());
            tokio::spawn(async move {
                for version in 1..=60 {
                    let score = (version * 37 + id) % 101;
                    rankings.publish(&board, &[standing(id, score, version, version)]).await.expect("published");
                }
            })
        })
        .collect();
    let mut snapshots = Vec::new();
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        snapshots.push(adapters.rankings.snapshot(&adapters.board).await.expect("available"));
        tokio::task::yield_now().await;
    }
    for publisher in publishers {
        publisher.await.expect("ended");
    }
    snapshots.push(adapters.rankings.snapshot(&adapters.board).await.expect("available"));
    let log = adapters.log().await;
    for snapshot in snapshots {
        let upto = &log[..usize::try_from(snapshot.position.offset).expect("small")];
        let top = upto.iter().rfind(|message| message.event.name() == "top").map_or("[]", |top| &top.data);
        assert_eq!(&*snapshot.top, top);
    }
}

async fn restoring_is_silent_and_the_next_top_is_right(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let begun = adapters.topics.position(&adapters.topic).await.expect("available");
    let restored: Vec<_> = (1..=1_200).map(|id| standing(id, 10_000 - id, 3, 1)).collect();
    adapters.rankings.restore(&adapters.board, &restored).await.expect("restored");
    adapters.rankings.restore(&adapters.board, &[standing(1, 1, 2, 1)]).await.expect("an older version");
    let snapshot = adapters.rankings.snapshot(&adapters.board).await.expect("available");
    assert_eq!(snapshot.position, begun, "nobody was told");
    assert!(snapshot.top.starts_with(r#"[{"rank":1,"userId":1,"user":"user 1","score":9999},"#), "{}", snapshot.top);
    assert_eq!(publish(&adapters, &restored[..10]).await, 0);
    assert_eq!(publish(&adapters, &[standing(600, 9_400, 4, 1)]).await, 1);
    assert_eq!(adapters.topics.position(&adapters.topic).await.expect("available"), begun, "nothing changed");
    publish(&adapters, &[standing(1_200, 9_999, 4, 5)]).await;
    let log = adapters.log().await;
    let said = said(&log);
    assert_eq!(said[0].1, r#"{"user":"user 1200","score":9999,"userId":1200,"rank":1,"increment":1199}"#);
    let rows = adapters.rankings.page(&adapters.board, 0, TOP_ROWS).await.expect("available");
    assert_eq!(said[1..], [("top", serde_json::to_string(&rows).expect("rows"))]);
    assert_eq!(rows.iter().map(|row| row.user_id).collect::<Vec<_>>(), [1, 1_200, 2, 3, 4]);
}

async fn many_standings_are_published_and_paged(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let standings: Vec<_> = (1..=1_000).map(|id| standing(id, id, 1, 1)).collect();
    assert_eq!(publish(&adapters, &standings).await, 1_000);
    assert_eq!(updates(&adapters).await.len(), 1_000);
    let rows = page(&adapters, 0, 2_000).await;
    assert_eq!(rows, (1..=1_000).map(|n| (n as u64, 1_001 - n, 1_001 - n)).collect::<Vec<_>>());
    assert_eq!(page(&adapters, 990, 100).await, rows[990..]);
}

/// 2,000 changes with many ties, repeats and older versions: both adapters say and show the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_adapters_agree_on_two_thousand_random_changes() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (memory, redis) = (Kind::Memory.open(PLENTY).await, Kind::Redis.open(PLENTY).await);
    let mut left = 2_000;
    while left > 0 {
        let size = random.random_range(1..=128.min(left));
        left -= size;
        let changes: Vec<_> = (0..size)
            .map(|_| {
                let id = random.random_range(1..60);
                let score = match random.random_range(0..20) {
                    0 => random.random_range(-SCORE_LIMIT..=SCORE_LIMIT),
                    _ => random.random_range(-12..12),
                };
                let reached_at = random.random_range(-3..6);
                let named = standing(id, score, random.random_range(1..200), reached_at);
                let name = UserName::stored(format!("{} \"{}\"", id, random.random_range(0..2)));
                NamedStanding { name, ..named }
            })
            .collect();
        assert_eq!(publish(&memory, &changes).await, publish(&redis, &changes).await);
        let (offset, limit) = (random.random_range(0..60), random.random_range(0..60));
        assert_eq!(
            memory.rankings.page(&memory.board, offset, limit).await.expect("available"),
            redis.rankings.page(&redis.board, offset, limit).await.expect("available"),
        );
        let one = user(random.random_range(1..60));
        assert_eq!(
            memory.rankings.row(&memory.board, one).await.expect("available"),
            redis.rankings.row(&redis.board, one).await.expect("available"),
        );
        let snapshots = (
            memory.rankings.snapshot(&memory.board).await.expect("available"),
            redis.rankings.snapshot(&redis.board).await.expect("available"),
        );
        assert_eq!(snapshots.0.top, snapshots.1.top);
        assert_eq!(snapshots.0.position.offset, at(&snapshots.1.position, snapshots.1.position.offset).offset);
    }
    assert_eq!(said(&memory.log().await), said(&redis.log().await));
}
