//! A viewer of the board: reads the event stream and adds up what it sees.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wire::{Connection, get};

const BUFFER: usize = 256 * 1_024;

/// One `update` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) user: i64,
    pub(crate) increment: i64,
}

/// A connected viewer that has its first snapshot.
pub(crate) struct Viewer {
    stream: TcpStream,
    chunks: Dechunker,
    received: Vec<u8>,
    text: Vec<u8>,
}

impl Viewer {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = Connection::open(address).await?.into_stream();
        stream.write_all(&get("/scores/stream")).await?;
        let mut received = Vec::with_capacity(BUFFER);
        let head = loop {
            if stream.read_buf(&mut received).await? == 0 {
                bail!("the server closed the event stream");
            }
            if let Some(end) = memmem::find(&received, b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !received.starts_with(b"HTTP/1.1 200 ") {
            bail!("the event stream was refused: {}", String::from_utf8_lossy(&received));
        }
        let mut viewer = Self { stream, chunks: Dechunker::default(), received, text: Vec::new() };
        viewer.received.drain(..head);
        viewer.take_received()?;
        while memmem::find(&viewer.text, b"event: snapshot\n").is_none() || !viewer.text.ends_with(b"\n\n") {
            viewer.read().await?;
        }
        viewer.text.clear();
        Ok(viewer)
    }

    /// Waits for more of the stream; hands every `update` in it to `see`, with the time it was read.
    pub(crate) async fn next(&mut self, mut see: impl FnMut(Seen, Instant)) -> anyhow::Result<()> {
        self.read().await?;
        let now = Instant::now();
        let mut begin = 0;
        while let Some(length) = memmem::find(&self.text[begin..], b"\n\n") {
            let event = &self.text[begin..begin + length];
            if event.starts_with(b"event: update\n") {
                see(update(event).context("an update event that can not be read")?, now);
            } else if event.starts_with(b"event: reset\n") {
                bail!("the viewer was reset, so what it saw does not add up: {}", String::from_utf8_lossy(event));
            }
            begin += length + 2;
        }
        self.text.drain(..begin);
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the event stream");
        }
        self.take_received()
    }

    fn take_received(&mut self) -> anyhow::Result<()> {
        let result = self.chunks.take(&self.received, &mut self.text);
        self.received.clear();
        result
    }
}

/// Reads an update from its event, or from its data alone.
pub(crate) fn update(event: &[u8]) -> Option<Seen> {
    // The last of each name: a user's name comes before them.
    let number = |name: &[u8]| {
        let at = memmem::rfind(event, name)? + name.len();
        let digits = &event[at..];
        let end = digits.iter().position(|b| !b.is_ascii_digit() && *b != b'-')?;
        std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
    };
    Some(Seen { user: number(b"\"userId\":")?, increment: number(b"\"increment\":")? })
}

/// Takes `Transfer-Encoding: chunked` apart, wherever reads cut it.
#[derive(Debug)]
enum Dechunker {
    /// Within a size line; its value so far.
    Size(usize),
    /// Within a chunk and the line end after it; bytes to come.
    Data(usize),
}

impl Default for Dechunker {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Dechunker {
    fn take(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) -> anyhow::Result<()> {
        while let Some(&first) = bytes.first() {
            match self {
                Self::Size(size) => {
                    bytes = &bytes[1..];
                    match (first, char::from(first).to_digit(16)) {
                        (_, Some(digit)) => *size = *size * 16 + digit as usize,
                        (b'\r', _) => {}
                        (b'\n', _) if *size == 0 => bail!("the event stream ended"),
                        (b'\n', _) => *self = Self::Data(*size + 2),
                        _ => bail!("the event stream is not chunked as it should be"),
                    }
                }
                Self::Data(left) => {
                    let taken = bytes.len().min(*left);
                    // The last two bytes are the line end.
                    let payload = taken.min(left.saturating_sub(2));
                    text.extend_from_slice(&bytes[..payload]);
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        *self = Self::Size(0);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_apart_wherever_they_are_cut() {
        let stream = b"3\r\nabc\r\n0b\r\nhello world\r\n";
        for cut in 0..stream.len() {
            let mut chunks = Dechunker::default();
            let mut text = Vec::new();
            chunks.take(&stream[..cut], &mut text).expect("valid");
            chunks.take(&stream[cut..], &mut text).expect("valid");
            assert_eq!(text, b"abchello world", "cut at {cut}");
        }
    }

    #[test]
    fn an_update_event_is_read() {
        let event =
            b"event: update\nid: e:1\ndata: {\"user\":\"A\",\"score\":5,\"userId\":11,\"rank\":1,\"increment\":-3}";
        assert_eq!(update(event), Some(Seen { user: 11, increment: -3 }));
    }
}
