//! Redis lost things, is full, or holds what is not ours.

use std::error::Error as _;

use redis::aio::MultiplexedConnection;
use scorewire_core::domain::{BoardId, Lost, TopicName};
use scorewire_core::ports::{FailureKind, PortError, Rankings, Rebuild, Topics};
use scorewire_core::rankings::{Superseded, Unbuilt};
use scorewire_core::redis::RedisHandle;

use crate::adapters::{PLENTY, at, build, fresh_prefix, note, process, standing, told_to_look, user};
use crate::redis_server::PrivateRedis;

fn weekly() -> BoardId {
    BoardId::new("weekly")
}

async fn raw(server: &PrivateRedis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis is there")
}

async fn order<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, words: &[&str]) -> T {
    redis::cmd(words[0]).arg(&words[1..]).query_async(connection).await.expect("done")
}

fn is_unbuilt<T: std::fmt::Debug>(result: Result<T, PortError>) -> bool {
    let error = result.expect_err("the board is lost");
    error.kind == FailureKind::Unavailable && error.source().is_some_and(|source| source.is::<Unbuilt>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_redis_begins_new_epochs_and_its_boards_are_stale_until_built() {
    let server = PrivateRedis::start();
    let (topics, rankings) = process(&server.url(), "p:", PLENTY).await;
    let topic = TopicName::of_board(&weekly());
    assert!(rankings.is_stale(&weekly()).await.expect("available"), "never built");
    build(&rankings, &weekly(), &[standing(1, 10, 1, 1)]).await;
    assert!(!rankings.is_stale(&weekly()).await.expect("available"));
    rankings.publish(&weekly(), &[standing(1, 20, 2, 1)]).await.expect("published");
    let old = rankings.snapshot(&weekly()).await.expect("available").position;
    let mut heard = topics.announcements();

    order::<String>(&mut raw(&server).await, &["FLUSHALL"]).await;

    assert_eq!(topics.after(&topic, &old, 10).await.expect("available"), Err(Lost::EpochChanged));
    assert_ne!(topics.position(&topic).await.expect("available").epoch, old.epoch);
    let look = told_to_look(&mut heard, &topic).await;
    assert_ne!(look, old.epoch.as_str());
    assert!(rankings.is_stale(&weekly()).await.expect("available"));
    assert!(is_unbuilt(rankings.snapshot(&weekly()).await));
    assert!(is_unbuilt(rankings.page(&weekly(), 0, 10).await));
    assert!(is_unbuilt(rankings.row(&weekly(), user(1)).await));
    assert!(is_unbuilt(rankings.publish(&weekly(), &[standing(1, 30, 3, 1)]).await));

    build(&rankings, &weekly(), &[standing(1, 20, 2, 1), standing(2, 5, 1, 1)]).await;
    assert!(!rankings.is_stale(&weekly()).await.expect("available"));
    assert_eq!(rankings.publish(&weekly(), &[standing(1, 30, 3, 1)]).await.expect("published"), 1);
    let rows = rankings.page(&weekly(), 0, 10).await.expect("available");
    assert_eq!(rows.iter().map(|row| (row.user_id, row.score)).collect::<Vec<_>>(), [(1, 30), (2, 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finishing_a_board_sends_viewers_to_a_new_snapshot() {
    let server = PrivateRedis::shared();
    let (topics, rankings) = process(&server.url(), &fresh_prefix(), PLENTY).await;
    build(&rankings, &weekly(), &[standing(1, 10, 1, 1)]).await;
    let old = rankings.snapshot(&weekly()).await.expect("available").position;
    let mut heard = topics.announcements();
    build(&rankings, &weekly(), &[standing(1, 10, 1, 1), standing(2, 20, 1, 1)]).await;
    let new = rankings.snapshot(&weekly()).await.expect("available");
    assert_eq!(told_to_look(&mut heard, &TopicName::of_board(&weekly())).await, new.position.epoch.as_str());
    assert_ne!(new.position.epoch, old.epoch);
    assert!(new.top.contains("user 2"), "{}", new.top);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_attempts_to_build_a_board_only_the_later_one_finishes_it() {
    let server = PrivateRedis::shared();
    let (_, rankings) = process(&server.url(), &fresh_prefix(), PLENTY).await;
    let first = rankings.begin(&weekly()).await.expect("begun");
    rankings.restore(&weekly(), &[standing(1, 10, 1, 1)]).await.expect("restored");
    let second = rankings.begin(&weekly()).await.expect("begun");
    rankings.restore(&weekly(), &[standing(2, 10, 1, 1)]).await.expect("restored");
    let error = rankings.finish(first).await.expect_err("superseded");
    assert!(error.source().is_some_and(|source| source.is::<Superseded>()), "{error}");
    assert!(is_unbuilt(rankings.snapshot(&weekly()).await));
    rankings.finish(second).await.expect("finished");
    assert_eq!(rankings.page(&weekly(), 0, 9).await.expect("available").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_lost_one_by_one_are_noticed() {
    let server = PrivateRedis::start();
    let mut raw = raw(&server).await;
    let (topics, rankings) = process(&server.url(), "p:", PLENTY).await;
    let topic = TopicName::of_board(&weekly());
    for lost in ["order", "users", "board"] {
        build(&rankings, &weekly(), &[standing(1, 10, 1, 1)]).await;
        let deleted: i64 = order(&mut raw, &["DEL", &format!("{{p:b:weekly}}{lost}")]).await;
        assert_eq!(deleted, 1);
        assert!(rankings.is_stale(&weekly()).await.expect("available"), "without {lost}");
        assert!(is_unbuilt(rankings.publish(&weekly(), &[standing(1, 30, 3, 1)]).await));
    }
    for lost in ["topic", "log"] {
        let old = topics.append(&topic, vec![note("1"), note("2")]).await.expect("appended");
        let deleted: i64 = order(&mut raw, &["DEL", &format!("{{p:b:weekly}}{lost}")]).await;
        assert_eq!(deleted, 1);
        assert_eq!(topics.after(&topic, &old, 10).await.expect("available"), Err(Lost::EpochChanged));
        let new = topics.append(&topic, vec![note("3")]).await.expect("appended");
        assert_eq!(new.offset, 1);
        assert_eq!(topics.after(&topic, &at(&new, 0), 9).await.expect("available").expect("kept").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_board_share_a_slot_and_those_of_its_topic_expire() {
    let server = PrivateRedis::start();
    let mut raw = raw(&server).await;
    let (topics, rankings) = process(&server.url(), "p:", PLENTY).await;
    build(&rankings, &weekly(), &[standing(1, 10, 1, 1)]).await;
    rankings.publish(&weekly(), &[standing(1, 20, 2, 1)]).await.expect("published");
    topics.append(&TopicName::stored("match:1"), vec![note("1")]).await.expect("appended");
    let mut keys: Vec<String> = order(&mut raw, &["KEYS", "*"]).await;
    keys.sort_unstable();
    let board = ["board", "log", "order", "topic", "users"].map(|key| format!("{{p:b:weekly}}{key}"));
    let topic = ["log", "topic"].map(|key| format!("{{p:t:match:1}}{key}"));
    assert_eq!(keys, [&board[..], &topic[..]].concat());
    for key in keys {
        let life_ms: i64 = order(&mut raw, &["PTTL", &key]).await;
        assert_eq!(life_ms > 24 * 3_600 * 1_000, key.ends_with("topic") || key.ends_with("log"), "{key}: {life_ms}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_is_unavailable_and_says_what_to_do() {
    let server = PrivateRedis::start();
    let mut raw = raw(&server).await;
    let (topics, rankings) = process(&server.url(), "p:", PLENTY).await;
    build(&rankings, &weekly(), &[]).await;
    let before = rankings.snapshot(&weekly()).await.expect("available");
    order::<String>(&mut raw, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = rankings.publish(&weekly(), &[standing(1, 30, 3, 1)]).await.expect_err("full");
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
    assert!(error.advice.is_some_and(|advice| advice.contains("out of memory")), "{error}");
    let error = topics.append(&TopicName::of_board(&weekly()), vec![note("1")]).await.expect_err("full");
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
    order::<String>(&mut raw, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(rankings.snapshot(&weekly()).await.expect("available"), before, "nothing was done by halves");
    assert_eq!(rankings.publish(&weekly(), &[standing(1, 30, 3, 1)]).await.expect("published"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = PrivateRedis::start();
    let (topics, _) = process(&server.url(), "p:", PLENTY).await;
    let topic = TopicName::of_board(&weekly());
    topics.append(&topic, vec![note("1")]).await.expect("appended");
    order::<String>(&mut raw(&server).await, &["SCRIPT", "FLUSH"]).await;
    assert_eq!(topics.append(&topic, vec![note("2")]).await.expect("appended").offset, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_corrupt_and_what_can_not_work_is_rejected() {
    let server = PrivateRedis::start();
    let (topics, rankings) = process(&server.url(), "p:", PLENTY).await;
    build(&rankings, &weekly(), &[]).await;
    let topic = TopicName::stored("match:1");
    order::<String>(&mut raw(&server).await, &["SET", "{p:t:match:1}topic", "a stranger's"]).await;
    let error = topics.position(&topic).await.expect_err("no topic");
    assert_eq!(error.kind, FailureKind::Corrupt, "{error}");
    let error = topics.append(&topic, vec![note("two\nlines")]).await.expect_err("one line only");
    assert_eq!(error.kind, FailureKind::Rejected, "{error}");
    let error = rankings.publish(&weekly(), &[standing(1, 1 << 53, 1, 1)]).await.expect_err("inexact");
    assert_eq!(error.kind, FailureKind::Rejected, "{error}");
    for (url, prefix) in [("http://localhost", ""), ("redis://localhost", "a{b}"), ("redis://localhost", "a*")] {
        let error = RedisHandle::connect(url, prefix).await.err().expect("refused");
        assert_eq!(error.kind, FailureKind::Rejected, "{error}");
    }
}
