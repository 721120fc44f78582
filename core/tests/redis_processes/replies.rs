//! Replies over connections that do not last.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use scorewire_core::ports::Replies;
use scorewire_core::redis::{RedisHandle, Watch};
use scorewire_core::replies::RedisReplies;

use crate::redis_server::PrivateRedis;
use crate::{eventually, handle, through_proxy, within};

/// Much closer than in earnest, so that tests are short.
const CLOSE: Watch = Watch {
    probe: Duration::from_millis(50),
    answer: Duration::from_millis(500),
    back_off: Duration::from_millis(100),
};

async fn process(handle: RedisHandle) -> RedisReplies {
    RedisReplies::start_with(handle, 100, Gauge::default(), CLOSE).await.expect("Redis is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_look_when_their_connection_was_dead_and_hear_again_after_it_was_repaired() {
    let server = PrivateRedis::shared();
    let (proxy, far) = through_proxy(server.port, "dead:").await;
    let (waiting, deciding) = (process(far).await, process(handle(server.port, "dead:").await).await);
    let waiters = [(); 3].map(|()| waiting.expect().expect("a place"));
    proxy.freeze();
    deciding.answer(&[waiters[0].reply_to().clone()]);
    // Its answer is lost, but a repair tells everybody to look.
    for waiter in &waiters {
        within("the repair", waiter.told()).await;
    }
    deciding.answer(&[waiters[1].reply_to().clone()]);
    within("an answer", waiters[1].told()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_fails_no_answer_and_its_return_is_noticed() {
    let server = PrivateRedis::start();
    let waiting = process(handle(server.port, "gone:").await).await;
    let deciding = process(handle(server.port, "gone:").await).await;
    server.kill();
    let waiter = waiting.expect().expect("a place is given without Redis");
    for _ in 0..1_000 {
        deciding.answer(&[waiter.reply_to().clone()]);
    }
    server.restart();
    within("the repair", waiter.told()).await;
    let other = waiting.expect().expect("a place");
    eventually("an answer to come through again", async || {
        deciding.answer(&[other.reply_to().clone()]);
        tokio::time::timeout(Duration::from_millis(50), other.told()).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_other_prefixes_do_not_hear_each_other() {
    let server = PrivateRedis::shared();
    let (ours, theirs) =
        (process(handle(server.port, "ours:").await).await, process(handle(server.port, "theirs:").await).await);
    let (waiter, last) = (ours.expect().expect("a place"), theirs.expect().expect("a place"));
    theirs.answer(&[waiter.reply_to().clone(), last.reply_to().clone()]);
    within("an answer", last.told()).await;
    let deciding = process(handle(server.port, "ours:").await).await;
    let later = ours.expect().expect("a place");
    deciding.answer(&[later.reply_to().clone()]);
    within("an answer", later.told()).await;
    assert!(tokio::time::timeout(Duration::ZERO, waiter.told()).await.is_err());
}
