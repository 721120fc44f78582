//! Viewers that resume, while everything between them and the publisher dies: the whole ordered sequence, or a reset.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scorewire_core::domain::{Event, NewMessage, RingLimits, TopicName};
use scorewire_core::ports::Topics;
use scorewire_core::redis::RedisHandle;
use scorewire_core::topics::RedisTopics;
use tokio_util::sync::CancellationToken;

use super::support::{Fleet, PREFIX, Plan, Resumer, Way, lasting};
use crate::support::{eventually, full_or};

const TOPICS: [&str; 2] = ["match:1", "scores"];
const WAYS: [Way; 3] = [Way::Events, Way::Several, Way::Socket];

/// The topics as a worker writes them.
async fn topics(fleet: &Fleet) -> RedisTopics {
    let limits = RingLimits { messages: 10_000, age_us: 600_000_000 };
    let handle = RedisHandle::connect(&fleet.redis.url(), PREFIX).await.expect("Redis answers");
    RedisTopics::unheard(handle, limits)
}

/// Says something in the match, again and again; whatever fails is said again.
async fn publish(topics: &RedisTopics, beat: Duration, done: &CancellationToken) -> u64 {
    let (topic, mut said) = (TopicName::stored(TOPICS[0]), 0);
    let mut beat = tokio::time::interval(beat);
    while !done.is_cancelled() {
        beat.tick().await;
        let event = Event::parse("note").expect("a name");
        let message = NewMessage { event, data: format!("{{\"n\":{said}}}").into() };
        if topics.append(&topic, vec![message]).await.is_ok() {
            said += 1;
        }
    }
    said
}

async fn score(fleet: &Fleet, beat: Duration, done: &CancellationToken) -> u64 {
    let mut beat = tokio::time::interval(beat);
    let mut accepted = 0;
    for n in 0_usize.. {
        beat.tick().await;
        if done.is_cancelled() {
            break;
        }
        let body = serde_json::json!({ "userId": n % 50 + 1, "increment": 1 });
        let sent = fleet.request(n % 2, reqwest::Method::POST, "/scores/update").json(&body).send().await;
        accepted += u64::from(sent.is_ok_and(|answer| answer.status() == 202));
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn no_viewer_misses_anything_in_silence_whatever_dies() {
    let count = full_or(2_000, 90);
    let (rest, beat) = (full_or(Duration::from_secs(5), Duration::from_secs(1)), Duration::from_millis(250));
    let plan = Plan { proxied: true, arguments: vec!["--drain-window", "1s"], ..Plan::default() };
    let fleet = Arc::new(Fleet::start(plan).await);
    let topics = topics(&fleet).await;
    let viewers: Vec<_> =
        (0..count).map(|n| Resumer::follow(&fleet, n, TOPICS[n % 2], WAYS[n / 2 % WAYS.len()])).collect();
    let done = CancellationToken::new();
    let faults = async {
        eventually("every viewer to have a place", || async {
            viewers.iter().all(|viewer| viewer.tally().place.is_some()).then_some(())
        })
        .await;
        println!("{count} viewers follow");
        lasting(rest).await;
        println!("API 1 is killed");
        fleet.apis[0].kill().await;
        lasting(rest / 2).await;
        fleet.apis[0].start().await;
        lasting(rest).await;
        println!("Redis is killed");
        fleet.kill_redis().await;
        lasting(Duration::from_secs(2)).await;
        fleet.restart_redis().await;
        lasting(rest).await;
        println!("connections to Redis are cut in silence");
        fleet.cut_redis_in_silence();
        // Probes find it out: 5 s until the next, 5 s without an answer.
        lasting(Duration::from_secs(12)).await;
        for api in &fleet.apis {
            println!("{} is restarted in order", api.name);
            api.stop().await;
            api.start().await;
            lasting(rest).await;
        }
        done.cancel();
    };
    let (said, accepted, ()) = tokio::join!(publish(&topics, beat, &done), score(&fleet, beat, &done), faults);
    fleet.settled().await;
    let ended = Instant::now();
    for (n, topic) in TOPICS.into_iter().enumerate() {
        let last = topics.position(&TopicName::stored(topic)).await.expect("a place");
        let last = Some((last.epoch.as_str().to_owned(), last.offset));
        for viewer in viewers.iter().skip(n).step_by(TOPICS.len()) {
            eventually("a viewer to have seen everything", || async { (viewer.tally().place == last).then_some(()) })
                .await;
        }
    }
    let mut sums = [0; 5];
    for tally in viewers.iter().map(Resumer::tally) {
        for (sum, value) in
            sums.iter_mut().zip([tally.messages, tally.resets, tally.connects, tally.gaps, tally.doubled])
        {
            *sum += value;
        }
    }
    let [messages, resets, connects, gaps, doubled] = sums;
    println!(
        "{count} viewers, {said} messages said, {accepted} updates accepted: {messages} received, {connects} connects, \
         {resets} resets, {gaps} silent gaps, {doubled} doubled; all at the newest place {:.1?} after the last fault",
        ended.elapsed()
    );
    assert_eq!((gaps, doubled), (0, 0));
}
