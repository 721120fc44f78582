//! Viewers that come and go in great numbers leave nothing behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support::{ServerProcess, admin_token, command, eventually, full_or, within};

const SECRET: &str = "a secret that the viewers need not know";
/// At once.
const CROWD: usize = 32;

/// Connects over SSE or WebSocket, waits for the snapshot, and goes away.
async fn come_and_go(address: SocketAddr, n: usize) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Ports of closed connections rest for a minute: more addresses have more of them.
    let host = u8::try_from(n % 200 + 2).expect("small");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    if n.is_multiple_of(2) {
        stream.write_all(b"GET /scores/stream HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    } else {
        let head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let request = br#"{"type":"subscribe","topic":"scores"}"#;
        // A mask of zeros leaves the payload as it is.
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend([0x81, 0x80 | u8::try_from(request.len()).expect("short"), 0, 0, 0, 0]);
        bytes.extend(request);
        stream.write_all(&bytes).await.expect("sent");
    }
    let mut received = Vec::new();
    while !received.windows(8).any(|text| text == b"snapshot") {
        let read = within("a snapshot", stream.read_buf(&mut received)).await.expect("no break");
        assert!(read > 0, "refused: {}", String::from_utf8_lossy(&received));
    }
    if n.is_multiple_of(3) {
        // Gone without a goodbye.
        stream.set_zero_linger().expect("an option");
    }
}

/// Resident memory in KB.
fn resident(server: &ServerProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn crowd(address: SocketAddr, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let coming = (0..CROWD).map(|_| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                come_and_go(address, n).await;
            }
        })
    });
    for task in futures_util::future::join_all(coming).await {
        task.expect("all were served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_come_and_go_and_memory_stays() {
    let (first, count) = full_or((20_000, 200_000), (2_000, 6_000));
    let dir = TempDir::new().expect("a directory");
    let server = ServerProcess::try_start(command(dir.path(), &["--jwt-secret", SECRET])).await.expect("a server");
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().expect("an address");
    let http = reqwest::Client::new();
    let token = admin_token(SECRET);
    let viewers = || async {
        let answer = http.get(format!("{}/admin/viewers", server.url)).bearer_auth(&token).send().await.ok()?;
        let told: Value = answer.json().await.ok()?;
        (told["total"] == 0).then_some(())
    };
    // What a server allocates once, for so many at a time, is not a leak.
    crowd(address, first).await;
    eventually("the first to be gone", viewers).await;
    let before = resident(&server);
    crowd(address, count).await;
    eventually("all to be gone", viewers).await;
    let after = resident(&server);
    let metrics = http.get(format!("{}/metrics", server.url)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    println!("{count} viewers came and went: {before} KB resident before, {after} KB after");
    assert!(metrics.contains("\nscorewire_viewers 0\n"), "no viewer is left");
    assert!(!metrics.contains("\nscorewire_topic_viewers{"), "nor counted for a topic");
    assert!(after * 10 <= before * 11, "memory grew from {before} KB to {after} KB");
    server.terminate().await;
}
