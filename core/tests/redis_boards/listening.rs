//! Announcements between processes, and what happens to them when connections do not last.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use scorewire_core::domain::{BoardId, TopicName};
use scorewire_core::ports::{FailureKind, Topics};
use scorewire_core::redis::RedisHandle;
use scorewire_core::topics::{RedisTopics, Timings};

use crate::adapters::{PLENTY, eventually, fresh_prefix, hear, note, offsets, process, told_to_look};
use crate::proxy::Proxy;
use crate::redis_server::{DEADLINE, PrivateRedis};

fn topic() -> TopicName {
    TopicName::of_board(&BoardId::new("weekly"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_hear_each_other_in_one_order() {
    let server = PrivateRedis::shared();
    let prefix = fresh_prefix();
    let (left, _) = process(&server.url(), &prefix, PLENTY).await;
    let (right, _) = process(&server.url(), &prefix, PLENTY).await;
    let (mut on_left, mut on_right) = (left.announcements(), right.announcements());
    let appending: Vec<_> = [&left, &right, &left, &right]
        .map(|topics| {
            let topics = Arc::clone(topics);
            tokio::spawn(async move {
                for n in 0..50 {
                    topics.append(&topic(), vec![note(&format!("{n}"))]).await.expect("appended");
                }
            })
        })
        .into_iter()
        .collect();
    let heard = hear(&mut on_left, 200).await;
    assert_eq!(offsets(&heard), (1..=200).collect::<Vec<_>>());
    assert_eq!(heard, hear(&mut on_right, 200).await);
    for appender in appending {
        appender.await.expect("ended");
    }
    let (stranger, _) = process(&server.url(), &fresh_prefix(), PLENTY).await;
    assert_eq!(stranger.position(&topic()).await.expect("available").offset, 0, "another prefix is another world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_dies_in_silence_is_noticed_and_listeners_look() {
    let server = PrivateRedis::shared();
    let proxy = Proxy::to(server.port).await;
    let prefix = fresh_prefix();
    let far_url = format!("redis://127.0.0.1:{}", proxy.port);
    let far = RedisHandle::connect(&far_url, &prefix).await.expect("Redis is there");
    let timings = Timings {
        probe: Duration::from_millis(50),
        answer: Duration::from_millis(200),
        // Only the probe can notice in time.
        idle: DEADLINE * 10,
        back_off: Duration::from_millis(100),
    };
    let listening = RedisTopics::start_with(far, PLENTY, timings).await.expect("Redis is there");
    let (near, _) = process(&server.url(), &prefix, PLENTY).await;
    let mut heard = listening.announcements();
    let begun = near.append(&topic(), vec![note("1")]).await.expect("appended");
    hear(&mut heard, 1).await;
    proxy.freeze();
    near.append(&topic(), vec![note("2")]).await.expect("appended");
    assert_eq!(told_to_look(&mut heard, &topic()).await, begun.epoch.as_str());
    let missed = listening.after(&topic(), &begun, 10).await.expect("available").expect("kept");
    assert_eq!(offsets(&missed), [2]);
    near.append(&topic(), vec![note("3")]).await.expect("appended");
    assert_eq!(offsets(&hear(&mut heard, 3).await), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_topic_that_moved_on_unheard_is_looked_at_and_one_that_rests_is_not() {
    let server = PrivateRedis::start();
    let (listening, _) = process(&server.url(), "p:", PLENTY).await;
    let begun = listening.append(&topic(), vec![note("1")]).await.expect("appended");
    let resting = TopicName::of_board(&BoardId::new("resting"));
    listening.position(&resting).await.expect("available");
    let mut heard = listening.announcements();
    // The log grows without an announcement, as if that had been lost on its way.
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut raw = client.get_multiplexed_async_connection().await.expect("Redis is there");
    let [state, log] = ["topic", "log"].map(|key| format!("{{p:b:weekly}}{key}"));
    let fields = [("t", "1"), ("e", "update"), ("d", "2")];
    let _: String = redis::cmd("XADD").arg(&log).arg("2-0").arg(&fields).query_async(&mut raw).await.expect("added");
    let _: i64 = redis::cmd("HSET").arg(&state).arg("top").arg(2).query_async(&mut raw).await.expect("set");
    assert_eq!(told_to_look(&mut heard, &topic()).await, begun.epoch.as_str());
    // What rests stays unmentioned while the other is looked at time and again.
    let mut mentioned = HashSet::new();
    for offset in 3..6_u32 {
        let _: i64 = redis::cmd("HSET").arg(&state).arg("top").arg(offset).query_async(&mut raw).await.expect("set");
        let announcement = tokio::time::timeout(DEADLINE, heard.recv()).await.expect("in time").expect("not lagging");
        mentioned.insert(announcement.topic);
    }
    assert_eq!(mentioned, HashSet::from([topic()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_comes_back_with_its_announcements() {
    let server = PrivateRedis::start();
    let (listening, _) = process(&server.url(), "p:", PLENTY).await;
    let (other, _) = process(&server.url(), "p:", PLENTY).await;
    let mut heard = listening.announcements();
    let old = other.append(&topic(), vec![note("1")]).await.expect("appended");
    hear(&mut heard, 1).await;
    server.kill();
    let error = other.append(&topic(), vec![note("lost")]).await.expect_err("nobody is there");
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
    let error = listening.position(&topic()).await.expect_err("nobody is there");
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
    server.restart();
    let epoch = told_to_look(&mut heard, &topic()).await;
    assert_ne!(epoch, old.epoch.as_str(), "the server may have lost its last writes, so a new life begins");
    let new = eventually("appended again", async || other.append(&topic(), vec![note("2")]).await.ok()).await;
    assert_eq!((new.epoch.as_str(), new.offset), (epoch.as_str(), 1));
    assert_eq!(offsets(&hear(&mut heard, 1).await), [1]);
}
