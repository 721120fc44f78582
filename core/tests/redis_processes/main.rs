//! What processes on one Redis tell and leave each other, and how they get on while it is away.

#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it expects")]

#[path = "../support/redis.rs"]
mod redis_server;

#[path = "../support/proxy.rs"]
mod proxy;

mod rate_limits;
mod replies;

use std::time::Duration;

use scorewire_core::redis::RedisHandle;

use crate::proxy::Proxy;
use crate::redis_server::DEADLINE;

async fn handle(port: u16, prefix: &str) -> RedisHandle {
    RedisHandle::connect(&format!("redis://127.0.0.1:{port}"), prefix).await.expect("Redis is there")
}

/// A way to a Redis that can be cut without anybody being told, and the handle at its end.
async fn through_proxy(port: u16, prefix: &str) -> (Proxy, RedisHandle) {
    let proxy = Proxy::to(port).await;
    let handle = handle(proxy.port, prefix).await;
    (proxy, handle)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    within(what, async {
        loop {
            beat.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
    .await
}
