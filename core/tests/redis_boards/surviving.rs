//! A topic of a feed survives what ends the life of others: its messages stay, its places do not.

use redis::aio::MultiplexedConnection;
use scorewire_core::domain::{Event, FeedName, Lost, NewMessage, Since, TopicName};
use scorewire_core::ports::Topics;
use scorewire_core::topics::RedisTopics;

use crate::adapters::{PLENTY, at, eventually, hear, note, offsets, process, told_to_look};
use crate::redis_server::PrivateRedis;

const SECOND: i64 = 1_000_000;

fn feed() -> TopicName {
    TopicName::of_feed(&FeedName::parse("btc-usd").expect("a name"))
}

fn value(text: &str) -> NewMessage {
    NewMessage { event: Event::Value, data: text.into() }
}

async fn raw(server: &PrivateRedis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis is there")
}

async fn back(topics: &RedisTopics) {
    eventually("Redis is back", async || topics.position(&feed()).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_messages_of_a_feed_in_a_new_epoch() {
    let server = PrivateRedis::start();
    let (topics, _) = process(&server.url(), "p:", PLENTY).await;
    let (feed, other) = (feed(), TopicName::parse("match:1").expect("a topic"));
    let old = topics.append(&feed, vec![value("1"), value("2")]).await.expect("appended");
    let lost = topics.append(&other, vec![note("gone")]).await.expect("appended");
    let before = topics.after(&feed, &at(&old, 0), 9).await.expect("available").expect("kept");
    let mut heard = topics.announcements();

    server.kill();
    server.restart();
    let epoch = told_to_look(&mut heard, &feed).await;

    assert_ne!(epoch, old.epoch.as_str(), "the last writes may be lost, and offsets with them");
    assert_eq!(topics.after(&feed, &old, 9).await.expect("available"), Err(Lost::EpochChanged));
    let place = topics.position(&feed).await.expect("available");
    assert_eq!((place.epoch.as_str(), place.offset), (epoch.as_str(), 2));
    assert_eq!(topics.after(&feed, &at(&place, 0), 9).await.expect("available"), Ok(before.clone()));
    let second = before[0].at.unix_seconds();
    let since = async |second| topics.since(&feed, second).await.expect("available");
    assert_eq!(since(second).await.position, at(&place, 0));
    let begun_in_it = Since { position: at(&place, 0), whole: false };
    assert_eq!(since(second - 1).await, begun_in_it, "what it forgot, it still knows to have forgotten");
    assert_eq!(topics.append(&feed, vec![value("3")]).await.expect("appended"), at(&place, 3));
    assert_eq!(offsets(&hear(&mut heard, 3).await), [3]);
    let place = topics.position(&other).await.expect("available");
    assert!(place.offset == 0 && place.epoch != lost.epoch, "another topic began anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_whose_messages_all_expired_survives_too() {
    let server = PrivateRedis::start();
    let limits = scorewire_core::domain::RingLimits { age_us: SECOND / 20, ..PLENTY };
    let (topics, _) = process(&server.url(), "p:", limits).await;
    let old = topics.append(&feed(), vec![value("1"), value("2")]).await.expect("appended");
    eventually("both are forgotten", async || {
        (topics.after(&feed(), &at(&old, 1), 9).await.expect("available") == Err(Lost::TooOld)).then_some(())
    })
    .await;
    server.kill();
    server.restart();
    back(&topics).await;
    let place = topics.position(&feed()).await.expect("available");
    assert!(place.offset == 2 && place.epoch != old.epoch, "{place}");
    assert_eq!(topics.after(&feed(), &place, 9).await.expect("available"), Ok(vec![]));
    assert_eq!(topics.append(&feed(), vec![value("3")]).await.expect("appended").offset, 3);
}

/// What came back is not always what was there: a hash without its log, or one that says something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_agree_begins_anew() {
    let server = PrivateRedis::start();
    let damages: [&[&str]; 3] = [
        &["DEL", "{p:t:feed:btc-usd}log"],
        &["HSET", "{p:t:feed:btc-usd}topic", "top", "9"],
        &["XADD", "{p:t:feed:btc-usd}log", "3-0", "t", "1", "e", "value", "d", "{}"],
    ];
    for damage in damages {
        let (topics, _) = process(&server.url(), "p:", PLENTY).await;
        redis::cmd("FLUSHALL").query_async::<()>(&mut raw(&server).await).await.expect("flushed");
        let old = topics.append(&feed(), vec![value("1"), value("2")]).await.expect("appended");
        let mut command = redis::cmd(damage[0]);
        command.arg(&damage[1..]);
        command.query_async::<redis::Value>(&mut raw(&server).await).await.expect("damaged");
        server.kill();
        server.restart();
        back(&topics).await;
        let place = topics.position(&feed()).await.expect("available");
        assert!(place.offset == 0 && place.epoch != old.epoch, "{damage:?}: {place}");
    }
}
