//! RFC 6455, byte by byte: fragments, control frames between them, masks, UTF-8, limits, the closing handshake.

use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Socket, TestApp, within};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client that writes its frames by hand.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn connect(app: &TestApp) -> Self {
        let mut stream = TcpStream::connect(app.server.address).await.expect("a connection");
        let head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(within("the head", stream.read_u8()).await.expect("a byte"));
        }
        let answer = String::from_utf8(answer).expect("text").to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
        assert!(!answer.contains("sec-websocket-protocol"), "none was offered");
        Self { stream }
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut bytes = vec![first];
        match u16::try_from(payload.len()) {
            Ok(short @ 0..126) => bytes.push(0x80 | u8::try_from(short).expect("short")),
            Ok(long) => {
                bytes.push(0x80 | 126);
                bytes.extend(long.to_be_bytes());
            }
            Err(_) => {
                bytes.push(0x80 | 127);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        // The server may close half-way, which the answer tells.
        let _ = self.stream.write_all(&bytes).await;
    }

    async fn read(&mut self) -> (u8, Vec<u8>) {
        within("a frame", async {
            let first = self.stream.read_u8().await.expect("a frame");
            let length = match self.stream.read_u8().await.expect("a length") {
                126 => usize::from(self.stream.read_u16().await.expect("a length")),
                127 => usize::try_from(self.stream.read_u64().await.expect("a length")).expect("small"),
                short => usize::from(short),
            };
            assert!(first & 0x80 != 0 && length < 1 << 20, "whole frames without masks");
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.expect("a payload");
            (first & 0x0f, payload)
        })
        .await
    }

    async fn json(&mut self) -> Value {
        let (opcode, payload) = self.read().await;
        assert_eq!(opcode, TEXT, "{payload:?}");
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// The server's close code, and that it ends the connection once it is answered.
    async fn closed(mut self) -> u16 {
        let (opcode, payload) = self.read().await;
        assert_eq!(opcode, CLOSE, "{payload:?}");
        self.frame(0x80 | CLOSE, &payload[..2]).await;
        let mut rest = Vec::new();
        within("the end", self.stream.read_to_end(&mut rest).map(drop)).await;
        assert_eq!(rest, b"", "nothing after a close");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

const PING_MESSAGE: &[u8] = br#"{"type":"ping"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn fragments_are_joined_and_control_frames_may_come_between_them() {
    let app = TestApp::start().await;
    let mut raw = Raw::connect(&app).await;
    raw.frame(TEXT, &PING_MESSAGE[..3]).await;
    raw.frame(0x80 | PING, b"now").await;
    assert_eq!(raw.read().await, (PONG, b"now".to_vec()));
    raw.frame(0, &PING_MESSAGE[3..7]).await;
    raw.frame(0x80 | PONG, b"unasked").await;
    raw.frame(0x80, &PING_MESSAGE[7..]).await;
    assert_eq!(raw.json().await, json!({ "type": "pong" }));
    // One byte at a time, the frame's head included.
    for byte in [0x81, 0x80 | 15, 0, 0, 0, 0].iter().chain(PING_MESSAGE) {
        raw.stream.write_all(&[*byte]).await.expect("sent");
    }
    assert_eq!(raw.json().await, json!({ "type": "pong" }));
    drop(raw);
    app.finish().await;
}

/// What it is, the close code it earns, and its frames: first byte and payload.
type Case = (&'static str, u16, Vec<(u8, Vec<u8>)>);

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let app = TestApp::start().await;
    let most = app.settings.max_body.0;
    let cases: Vec<Case> = vec![
        ("binary", 1_003, vec![(0x80 | BINARY, b"x".to_vec())]),
        ("no UTF-8", 1_007, vec![(0x80 | TEXT, vec![0xff, 0xfe])]),
        ("no UTF-8 across fragments", 1_007, vec![(TEXT, vec![0xc3]), (0x80, vec![0x28])]),
        ("too big", 1_009, vec![(0x80 | TEXT, vec![b'x'; most + 1])]),
        ("too big in pieces", 1_009, vec![(TEXT, vec![b'x'; most]), (0x80, vec![b'x'; most])]),
        ("a continuation of nothing", 1_002, vec![(0x80, b"x".to_vec())]),
        ("a message within a message", 1_002, vec![(TEXT, b"a".to_vec()), (0x80 | TEXT, b"b".to_vec())]),
        ("a fragmented ping", 1_002, vec![(PING, b"x".to_vec())]),
        ("reserved bits", 1_002, vec![(0xc0 | TEXT, b"x".to_vec())]),
    ];
    for (what, code, frames) in cases {
        let mut raw = Raw::connect(&app).await;
        for (first, payload) in frames {
            raw.frame(first, &payload).await;
        }
        assert_eq!(raw.closed().await, code, "{what}");
    }
    let mut unmasked = Raw::connect(&app).await;
    unmasked.stream.write_all(&[0x81, 2, b'{', b'}']).await.expect("sent");
    assert_eq!(unmasked.closed().await, 1_002, "a client must mask");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_is_answered_by_a_close() {
    let app = TestApp::start().await;
    let mut raw = Raw::connect(&app).await;
    raw.frame(0x80 | CLOSE, &1_000_u16.to_be_bytes()).await;
    let (opcode, payload) = raw.read().await;
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1_000_u16.to_be_bytes()[..]));
    let mut rest = Vec::new();
    within("the end", raw.stream.read_to_end(&mut rest)).await.expect("an end in order");
    assert_eq!(rest, b"");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_is_closed() {
    let app = TestApp::with(|settings| settings.heartbeat = Some("50ms".parse().expect("a span"))).await;
    let mut raw = Raw::connect(&app).await;
    let (mut pings, mut told) = (0, 0);
    let code = loop {
        match raw.read().await {
            (PING, _) => pings += 1,
            (TEXT, text) => {
                assert_eq!(text, br#"{"type":"heartbeat"}"#);
                told += 1;
            }
            (CLOSE, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((code, pings, told), (4_002, 2, 2));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_closed() {
    let app = TestApp::with(|settings| settings.rate_limit_viewer = Some("5/1m".parse().expect("a rate"))).await;
    let mut socket = Socket::connect(app.server.address).await;
    for _ in 0..6 {
        socket.send(json!({ "type": "ping" })).await;
    }
    assert_eq!(socket.closed().await, (4_003, "too-many-messages".to_owned()));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_websocket_is_told_so() {
    let app = TestApp::start().await;
    let plain = app.get("/ws").await;
    assert_eq!(plain.status(), 426);
    assert_eq!(
        (&plain.headers()["upgrade"], &plain.headers()["sec-websocket-version"]),
        (&"websocket".parse().expect("a header"), &"13".parse().expect("a header"))
    );
    let body: Value = plain.json().await.expect("JSON");
    assert!(body["type"].as_str().is_some_and(|kind| kind.ends_with("upgrade-required")));
    for (header, value) in [("sec-websocket-version", "8"), ("upgrade", "h2c"), ("connection", "close")] {
        assert_eq!(Socket::try_connect(app.server.address, &[(header, value)]).await.err(), Some(426), "{header}");
    }
    let other = Socket::try_connect(app.server.address, &[("sec-websocket-protocol", "chat, soap")]).await;
    assert_eq!(other.err(), Some(400), "another protocol");
    let post = app.request(Method::POST, "/ws").send().await.expect("an answer");
    assert_eq!(post.status(), 405);
    app.finish().await;
}
