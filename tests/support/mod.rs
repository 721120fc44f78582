//! What tests share: a server on a free port, a typed client, a stream reader, and waiting with a deadline.

mod app;
mod process;
mod stream;

pub use app::{Scores, TestApp};
pub use process::{ServerProcess, command};
pub use stream::{SseEvent, Stream};

use std::future::Future;
use std::time::Duration;

/// How long anything may take before a test gives up on it; generous, since CI machines are slow and shared.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a future, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Asks again and again until there is an answer, but not for ever.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
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
