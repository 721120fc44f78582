//! The WebSocket transport (RFC 6455): requests that come over it, and the steps of its viewer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use scorewire_core::domain::{TopicError, TopicName};
use scorewire_core::settings::Settings;
use scorewire_core::settings::units::Rate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::close::Close;
use super::envelope::{self, Told};
use super::request::Request;
use super::step::{Began, Step};
use super::subscription::Follow;
use super::viewer::Viewer;

/// What is read at once; requests are small.
const READ_BUFFER: usize = 1_024;
/// Encoded messages that wait for each other before they are written.
const WRITE_BUFFER: usize = 4_096;
/// How long the other side may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// Heartbeats without an answer after which the other side is taken for gone.
const UNANSWERED: u32 = 2;

/// What clients may do over a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketLimits {
    message_bytes: usize,
    topics: usize,
    rate: Rate,
}

impl SocketLimits {
    pub(crate) const fn from_settings(settings: &Settings) -> Self {
        Self {
            message_bytes: settings.max_body.0,
            topics: settings.max_topics_per_viewer,
            rate: settings.rate_limit_viewer,
        }
    }
}

/// Which topics a viewer may follow.
pub(crate) type May = Box<dyn Fn(&TopicName) -> bool + Send + Sync>;

/// A WebSocket before its connection was upgraded.
pub(crate) struct Socket {
    pub(crate) viewer: Viewer,
    pub(crate) limits: SocketLimits,
    pub(crate) may: May,
    /// Cancelled, it is dropped at once.
    pub(crate) cut: CancellationToken,
}

impl Socket {
    /// Serves it until either side ends it.
    pub(crate) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let cut = self.cut.clone();
        let serve = async {
            let mut talk = Talk::begin(self, stream).await;
            if let Some(close) = talk.serve().await {
                goodbye(&mut talk.socket, close).await;
            }
        };
        tokio::select! {
            () = serve => {}
            () = cut.cancelled() => {}
        }
    }
}

/// Tells somebody there is no place for why, and ends.
pub(crate) async fn turn_away(stream: impl AsyncRead + AsyncWrite + Unpin, close: Close) {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config(READ_BUFFER))).await;
    goodbye(&mut socket, close).await;
}

fn config(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// The closing handshake, as far as the other side takes part in it.
async fn goodbye(socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>, close: Close) {
    let frame = CloseFrame { code: close.code().into(), reason: Utf8Bytes::from_static(close.reason()) };
    let _ = timeout(GOODBYE, async {
        // Fails where the other side closed first: what is left then is to send the answer to that, which reading does.
        let _ = socket.close(Some(frame)).await;
        while socket.next().await.is_some_and(|received| received.is_ok()) {}
    })
    .await;
}

/// A WebSocket and its viewer.
struct Talk<S> {
    socket: WebSocketStream<S>,
    viewer: Viewer,
    topics: usize,
    may: May,
    requests: Option<DefaultDirectRateLimiter>,
    /// Heartbeats since the other side was last heard.
    unanswered: u32,
    /// When the last of them was sent.
    pinged: Option<Instant>,
    heartbeat: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn begin(socket: Socket, stream: S) -> Self {
        let Socket { viewer, limits, may, .. } = socket;
        let requests = match limits.rate {
            Rate::Off => None,
            Rate::Limit { count, per } => {
                Quota::with_period(per / count.get()).map(|quota| RateLimiter::direct(quota.allow_burst(count)))
            }
        };
        let config = config(limits.message_bytes);
        Self {
            socket: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
            heartbeat: viewer.heartbeat(),
            viewer,
            topics: limits.topics,
            may,
            requests,
            unanswered: 0,
            pinged: None,
        }
    }

    /// Goes on until there is a reason to close; `None` when the other side is gone already.
    async fn serve(&mut self) -> Option<Close> {
        loop {
            let ended = tokio::select! {
                step = self.viewer.next() => self.send(step).await,
                received = self.socket.next() => match received {
                    Some(received) => self.receive(received).await,
                    None => return None,
                },
            };
            match ended {
                Ok(None) => {}
                Ok(Some(close)) => {
                    return Some(close);
                }
                Err(gone) => {
                    tracing::debug!(%gone, "a WebSocket broke");
                    return None;
                }
            }
        }
    }

    async fn send(&mut self, step: Step) -> Result<Option<Close>, Error> {
        match step {
            Step::Began { topic, began: Began { position, recovered, reset, snapshot } } => {
                let (name, id) = (topic.as_str(), position.to_string());
                self.feed(Told::Subscribed { topic: name, id: id.clone(), recovered }.json()).await?;
                if let Some(reason) = reset {
                    self.feed(Told::Reset { topic: name, id, reason }.json()).await?;
                }
                if let Some(snapshot) = snapshot {
                    self.feed(envelope::message(&topic, Some(&position), "snapshot", &snapshot)).await?;
                }
            }
            Step::Batch { frames, conflated } => {
                for (n, frame) in frames.iter().enumerate() {
                    let placed = !conflated || n + 1 == frames.len();
                    self.feed(frame.envelope(placed).clone()).await?;
                }
            }
            Step::Repeat(frame) => self.feed(frame.envelope(true).clone()).await?,
            Step::Heartbeat => {
                if self.unanswered >= UNANSWERED {
                    return Ok(Some(Close::Silent));
                }
                // A viewer whose topic is away has a heartbeat every second: only those due count.
                if self.pinged.is_none_or(|pinged| pinged.elapsed() >= self.heartbeat) {
                    self.pinged = Some(Instant::now());
                    self.unanswered += 1;
                    self.socket.feed(Message::Ping(Bytes::new())).await?;
                }
                self.feed(Told::Heartbeat.json()).await?;
            }
            Step::End(close) => return Ok(Some(close)),
        }
        self.socket.flush().await?;
        Ok(None)
    }

    async fn feed(&mut self, json: Bytes) -> Result<(), Error> {
        self.socket.feed(Message::Text(Utf8Bytes::try_from(json)?)).await
    }

    async fn receive(&mut self, received: Result<Message, Error>) -> Result<Option<Close>, Error> {
        let message = match received {
            Ok(message) => message,
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed) => {
                return Ok(Some(Close::Bye));
            }
            Err(Error::Protocol(_)) => return Ok(Some(Close::ProtocolError)),
            Err(Error::Utf8(_)) => return Ok(Some(Close::InvalidText)),
            Err(Error::Capacity(_)) => return Ok(Some(Close::TooBig)),
            Err(gone) => return Err(gone),
        };
        self.unanswered = 0;
        if self.requests.as_ref().is_some_and(|requests| requests.check().is_err()) {
            return Ok(Some(Close::TooManyMessages));
        }
        match message {
            Message::Text(text) => {
                let answer = self.answer(&text);
                if let Some(answer) = answer {
                    self.socket.send(Message::Text(Utf8Bytes::try_from(answer)?)).await?;
                }
                Ok(None)
            }
            Message::Binary(_) => Ok(Some(Close::TextOnly)),
            Message::Close(_) => Ok(Some(Close::Bye)),
            // The answer to a ping was put in line by the codec.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                self.socket.flush().await?;
                Ok(None)
            }
        }
    }

    /// Does what a request asks for. A subscription is answered when it begins.
    fn answer(&mut self, text: &str) -> Option<Bytes> {
        match Request::parse(text) {
            Ok(Request::Subscribe(follow)) => self.subscribe(follow),
            Ok(Request::Unsubscribe(topic)) => {
                if self.viewer.unfollow(&topic) {
                    return Some(Told::Unsubscribed { topic: topic.as_str() }.json());
                }
                let message = "this topic is not followed".to_owned();
                Some(Told::Error { code: "not-subscribed", message, topic: Some(topic.as_str()) }.json())
            }
            Ok(Request::Ping) => Some(Told::Pong.json()),
            Err(refused) => {
                let topic = refused.topic.as_deref();
                Some(Told::Error { code: refused.code, message: refused.message, topic }.json())
            }
        }
    }

    fn subscribe(&mut self, follow: Follow) -> Option<Bytes> {
        let refused = if !self.viewer.knows(&follow.topic) {
            Some(("unknown-topic", TopicError::Unknown.to_string()))
        } else if !(self.may)(&follow.topic) {
            Some(("forbidden", format!("this needs a token with the scope stream:{}", follow.topic)))
        } else if self.viewer.topics() >= self.topics && !self.viewer.follows(&follow.topic) {
            Some(("too-many-topics", format!("one connection follows at most {} topics", self.topics)))
        } else {
            None
        };
        if let Some((code, message)) = refused {
            return Some(Told::Error { code, message, topic: Some(follow.topic.as_str()) }.json());
        }
        self.viewer.follow(follow);
        None
    }
}
