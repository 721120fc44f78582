//! A WebSocket client that answers what the protocol asks of it and nothing more.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::within;

/// What came over the socket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    /// A message of the server.
    Json(Value),
    /// The server's close code and reason.
    Closed(u16, String),
    /// The connection ended without a close.
    Gone,
}

/// A connected WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Connects to `/ws` with the subprotocol.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address, &[]).await.expect("an upgrade")
    }

    /// Connects with more headers; the HTTP status of a refusal.
    pub(crate) async fn try_connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "scorewire.v1".parse().expect("a header"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match within("an upgrade", client_async(request, stream)).await {
            Ok((stream, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "scorewire.v1");
                Ok(Self { stream })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    /// Sends one JSON message.
    pub(crate) async fn send(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// Follows a topic; more fields of the request come from the object `with`.
    pub(crate) async fn subscribe(&mut self, topic: &str, with: Value) {
        let mut message = json!({ "type": "subscribe", "topic": topic });
        for (name, value) in with.as_object().expect("an object") {
            message[name] = value.clone();
        }
        self.send(message).await;
    }

    /// What comes next, heartbeats included.
    pub(crate) async fn receive(&mut self) -> Received {
        within("a message", self.receive_at_leisure()).await
    }

    /// What comes next, however long it takes.
    pub(crate) async fn receive_at_leisure(&mut self) -> Received {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Received::Json(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("a close has a code");
                    return Received::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Gone,
            }
        }
    }

    /// The next message, past heartbeats.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.receive().await {
                Received::Json(message) if message["type"] == "heartbeat" => {}
                Received::Json(message) => return message,
                ended => panic!("the socket ended: {ended:?}"),
            }
        }
    }

    /// The next message, which must be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let next = self.next().await;
        assert_eq!(next["type"], kind, "{next}");
        next
    }

    /// The next message of a topic with this event, past others.
    pub(crate) async fn event(&mut self, event: &str) -> Value {
        loop {
            let next = self.next().await;
            if next["event"] == event {
                return next;
            }
        }
    }

    /// The server's close, past messages.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.receive().await {
                Received::Json(_) => {}
                Received::Closed(code, reason) => return (code, reason),
                Received::Gone => panic!("the socket broke off without a close"),
            }
        }
    }
}
