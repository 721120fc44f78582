//! Wakes a worker when a job is pushed: a connection of its own waits at the end of the stream.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig, Client, RedisResult};

/// How long one wait lasts; the next begins where it ended.
const WAIT: Duration = Duration::from_secs(5);
/// Pause before waiting again after Redis was away.
const PAUSE: Duration = Duration::from_millis(500);

struct Waiting {
    client: Client,
    stream: String,
    /// The newest entry seen.
    last: String,
    connection: Option<MultiplexedConnection>,
}

impl Waiting {
    /// Returns when something was pushed, or when it is worth a look because nobody can say.
    async fn next(&mut self) {
        match self.wait().await {
            Ok(Some(last)) => self.last = last,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "the wake-up connection is lost and made anew");
                self.connection = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn wait(&mut self) -> RedisResult<Option<String>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                // Longer than the wait itself: a server that says nothing at all is gone.
                let config = AsyncConnectionConfig::new().set_response_timeout(Some(WAIT * 2));
                none.insert(self.client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        let block = usize::try_from(WAIT.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default().block(block).count(1_000);
        let reply: Option<StreamReadReply> = connection.xread_options(&[&self.stream], &[&self.last], &options).await?;
        let newest = reply.and_then(|reply| Some(reply.keys.first()?.ids.last()?.id.clone()));
        // The stream may have grown between two waits, so each begins where the last one ended.
        Ok(newest)
    }
}

/// Yields whenever a worker should look at its queue.
pub(super) fn wakes(client: Client, stream: String) -> impl Stream<Item = ()> + Send {
    let waiting = Waiting { client, stream, last: "0-0".to_owned(), connection: None };
    stream::unfold(waiting, |mut waiting| async move {
        waiting.next().await;
        Some(((), waiting))
    })
}
