//! A connection that hears what is published, watched and repaired.
//!
//! A dead connection can look healthy for minutes, and what was published meanwhile is gone. So the connection is
//! probed, and whoever listens is told after every repair.

use std::time::Duration;

use ::redis::aio::{PubSub, PubSubSink, PubSubStream};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::{RedisHandle, port_error};
use crate::ports::{FailureKind, PortError};

const SUBSCRIBE: &str = "subscribe to channels";
const LISTEN: &str = "listen to channels";
/// The first wait before connecting again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How closely a listening connection is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Between two probes of the connection; by default 5 s.
    pub probe: Duration,
    /// How long a probe may stay unanswered; by default 5 s.
    pub answer: Duration,
    /// The longest wait before connecting again, reached by doubling; by default 5 s.
    pub back_off: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { probe: seconds(5), answer: seconds(5), back_off: seconds(5) }
    }
}

/// The connection ended, or nothing answered on it.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("the connection ended")]
    Ended,
    #[error("a probe was not answered")]
    Unanswered,
}

/// Who listens.
pub(crate) trait Audience: Sync {
    /// Takes what was published.
    fn hear(&self, channel: &str, payload: &[u8]);
    /// Runs beside each connection from its beginning; `repaired` says that messages may have been missed before.
    /// Returns only when the connection is no good.
    fn attend(&self, repaired: bool) -> impl Future<Output = PortError> + Send;
}

/// What is listened to.
pub(crate) struct Subscription {
    handle: RedisHandle,
    pattern: String,
    /// What comes over it, for the log.
    what: &'static str,
    watch: Watch,
}

impl Subscription {
    /// Listens to channels whose names match the pattern.
    pub(crate) const fn new(handle: RedisHandle, pattern: String, what: &'static str, watch: Watch) -> Self {
        Self { handle, pattern, what, watch }
    }

    /// A connection that receives all of them.
    pub(crate) async fn open(&self) -> Result<PubSub, PortError> {
        let mut connection = self.handle.subscriber().await?;
        timeout(self.watch.answer, connection.psubscribe(&self.pattern))
            .await
            .map_err(|_| silence(SUBSCRIBE, Silence::Unanswered))?
            .map_err(|e| port_error(SUBSCRIBE, e))?;
        Ok(connection)
    }

    /// Listens for ever: connects again, after a pause, whenever the connection is lost.
    pub(crate) async fn keep(&self, first: PubSub, audience: &impl Audience) {
        let mut next = Some(first);
        let mut pause = Duration::ZERO;
        let mut repaired = false;
        loop {
            let connection = match next.take() {
                Some(connection) => Ok(connection),
                None => self.open().await,
            };
            let error = match connection {
                Ok(connection) => {
                    let since = Instant::now();
                    let error = self.receive(connection, audience, std::mem::replace(&mut repaired, true)).await;
                    // One that is lost at once, time and again, is as good as none.
                    if since.elapsed() > self.watch.back_off {
                        pause = Duration::ZERO;
                    }
                    error
                }
                Err(error) => error,
            };
            pause = (pause * 2).clamp(FIRST_PAUSE, self.watch.back_off);
            tracing::warn!(%error, pause_ms = pause.as_millis(), "{} are interrupted", self.what);
            // Spread at random, so that many processes do not come back in step.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    /// Receives until the connection is lost; says how.
    async fn receive(&self, connection: PubSub, audience: &impl Audience, repaired: bool) -> PortError {
        let (sink, stream) = connection.split();
        tokio::select! {
            error = deliver(stream, audience) => error,
            error = self.probe(sink) => error,
            error = audience.attend(repaired) => error,
        }
    }

    async fn probe(&self, mut sink: PubSubSink) -> PortError {
        loop {
            sleep(self.watch.probe).await;
            match timeout(self.watch.answer, sink.ping::<::redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return port_error(LISTEN, error),
                Err(_) => return silence(LISTEN, Silence::Unanswered),
            }
        }
    }
}

async fn deliver(mut stream: PubSubStream, audience: &impl Audience) -> PortError {
    while let Some(published) = stream.next().await {
        audience.hear(published.get_channel_name(), published.get_payload_bytes());
    }
    silence(LISTEN, Silence::Ended)
}

fn silence(operation: &'static str, how: Silence) -> PortError {
    PortError::new(operation, FailureKind::Unavailable, how)
}
