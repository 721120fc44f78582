//! What a connected viewer costs the server in memory, by transport.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::load::{FIRST_USER, create_users};
use crate::process::Scorewire;
use crate::wire::{Connection, Poster, get};

const VIEWERS: usize = 2_000;
const UPDATES: usize = 200;
const SETTLE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Transport {
    Sse,
    WebSocket,
}

/// KB for each viewer: connected, and after messages have passed.
struct Cost {
    idle: f64,
    used: f64,
}

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Section> {
    let mut figures = Vec::new();
    for (transport, name) in [(Transport::Sse, "SSE"), (Transport::WebSocket, "WebSocket")] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(plan, transport).await?);
        }
        let idle = Figure::new(format!("{name}, connected, KB"), 1, rounds.iter().map(|cost| cost.idle));
        let used = format!("{name}, after {UPDATES} updates, KB");
        figures.push(idle.aiming(Aim::Below(20.0)));
        figures.push(Figure::new(used, 1, rounds.iter().map(|cost| cost.used)).aiming(Aim::Below(20.0)));
    }
    let method = format!(
        "Anonymous memory of the server with {VIEWERS} viewers of `scores` less that without them, by viewer: {} s after the last has \
         its snapshot, and again after all have been sent {UPDATES} updates. {ROUNDS} fresh servers each. The kernel's socket \
         buffers are not in it.",
        SETTLE.as_secs()
    );
    Ok(Section { title: "Memory of a viewer".into(), method, figures })
}

async fn round(plan: &Plan, transport: Transport) -> anyhow::Result<Cost> {
    let server = Scorewire::start(plan, "viewers").await?;
    create_users(server.address(), &server.token).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.running.memory()?.anonymous;
    let mut reading = JoinSet::new();
    for _ in 0..VIEWERS {
        let mut stream = open(server.address(), transport).await?;
        reading.spawn(async move {
            let mut bytes = [0; 2_048];
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        });
    }
    let each = |after: f64| (after - before) * 1e3 / VIEWERS as f64;
    tokio::time::sleep(SETTLE).await;
    let idle = each(server.running.memory()?.anonymous);
    let poster = Poster::new("/scores/update", &server.token);
    let (mut connection, mut request) = (Connection::open(server.address()).await?, Vec::new());
    for _ in 0..UPDATES {
        poster.build(&mut request, &format!("{{\"userId\":{FIRST_USER},\"increment\":1}}"), None);
        connection.exchange(&request).await?.expect_status(202)?;
    }
    tokio::time::sleep(SETTLE).await;
    let used = each(server.running.memory()?.anonymous);
    reading.shutdown().await;
    server.stop().await?;
    Ok(Cost { idle, used })
}

/// A viewer that has its snapshot.
async fn open(address: SocketAddr, transport: Transport) -> anyhow::Result<TcpStream> {
    let mut stream = Connection::open(address).await?.into_stream();
    match transport {
        Transport::Sse => stream.write_all(&get("/scores/stream")).await?,
        Transport::WebSocket => {
            let head = "GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            until(&mut stream, b"\r\n\r\n").await?;
            let request = br#"{"type":"subscribe","topic":"scores"}"#;
            // A mask of zeros leaves the payload as it is.
            let mut frame = vec![0x81, 0x80 | u8::try_from(request.len())?, 0, 0, 0, 0];
            frame.extend_from_slice(request);
            stream.write_all(&frame).await?;
        }
    }
    until(&mut stream, b"snapshot").await?;
    Ok(stream)
}

async fn until(stream: &mut TcpStream, text: &[u8]) -> anyhow::Result<()> {
    let mut received = Vec::new();
    while memmem::find(&received, text).is_none() {
        if stream.read_buf(&mut received).await? == 0 {
            bail!("the server refused a viewer: {}", String::from_utf8_lossy(&received));
        }
    }
    Ok(())
}
