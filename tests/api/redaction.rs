//! What a log never holds, however much is logged: tokens, from wherever they were sent.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::tls::{H2, certify, connect, free_address};
use crate::support::{ServerProcess, admin_token, command, within};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// A request over HTTP/2 for a path that may be none: the preface, empty settings, and one HEADERS frame.
fn raw_request(path: &str) -> Vec<u8> {
    // :method GET and :scheme https by index, then :path and :authority as literals.
    let mut head = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).expect("a short path")];
    head.extend_from_slice(path.as_bytes());
    head.extend_from_slice(b"\x01\x09localhost");
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    sent.extend_from_slice(&[0, 0, u8::try_from(head.len()).expect("a short head"), 0x01, 0x05, 0, 0, 0, 1]);
    sent.extend_from_slice(&head);
    sent
}

/// Reads frames of HTTP/2 until one is of this type.
async fn until_frame(stream: &mut (impl AsyncRead + Unpin), kind: u8) {
    let mut head = [0; 9];
    while head[3] != kind {
        stream.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.expect("its payload");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_can_not_be_read_is_not_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let certificate = certify(dir.path());
    let address = free_address();
    let mut serve = command(&dir.path().join("data"), &["--log", "trace", "--tls-listen", &address.to_string()]);
    serve.arg("--tls-cert").arg(dir.path().join("cert.pem")).arg("--tls-key").arg(dir.path().join("key.pem"));
    let server = ServerProcess::start_logging(serve, &log).await;
    for path in ["/scores/stream?access_token=mark", "/scores/stream?access_token=mark with a space"] {
        let mut stream = connect(address, &certificate, H2).await.expect("a connection");
        stream.write_all(&raw_request(path)).await.expect("sent");
        // HEADERS answer the first, RST_STREAM the second.
        within("an answer", until_frame(&mut stream, if path.contains(' ') { 0x03 } else { 0x01 })).await;
    }
    within("the server to end", server.terminate()).await;
    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("h2::") && log.contains("/scores/stream"), "it does log frames and requests: {log}");
    assert!(!log.contains("access_token") && !log.contains("mark"), "a query stands in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let data = dir.path().join("data");
    let arguments = ["--log", "trace", "--streams", "token", "--jwt-secret", SECRET];
    let server = ServerProcess::start_logging(command(&data, &arguments), &log).await;
    let http = reqwest::Client::new();
    let admin = admin_token(SECRET);
    let made = http.post(format!("{}/stream-tokens", server.url)).bearer_auth(&admin).send().await.expect("an answer");
    let made: Value = made.json().await.expect("JSON");
    let token = made["token"].as_str().expect("a token");

    let stream = format!("{}/scores/stream?access_token={token}", server.url);
    assert_eq!(http.get(&stream).send().await.expect("an answer").status(), 200);
    assert_eq!(http.get(format!("{stream}x")).send().await.expect("an answer").status(), 401, "a broken one");
    assert_eq!(http.get(format!("{stream}&since=never")).send().await.expect("an answer").status(), 400);
    assert_eq!(http.post(&stream).send().await.expect("an answer").status(), 405);
    let nowhere = http.get(format!("{}/nowhere?access_token={token}", server.url)).send().await.expect("an answer");
    let problem = nowhere.text().await.expect("a body");
    assert!(problem.contains("\"instance\":\"/nowhere\""), "{problem}");
    let cookie = format!("scorewire_token={token}");
    let by_cookie = http.get(format!("{}/scores/stream", server.url)).header("Cookie", cookie);
    assert_eq!(by_cookie.send().await.expect("an answer").status(), 200);
    within("the server to end", server.terminate()).await;

    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("DEBUG") && log.contains("/scores/stream"), "it does log requests: {log}");
    for secret in [token, &admin] {
        let signature = secret.rsplit('.').next().expect("three parts");
        assert!(!log.contains(signature), "a token's signature stands in the log");
    }
    assert!(!log.contains("access_token="), "a query stands in the log");
}
