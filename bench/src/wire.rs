//! A keep-alive HTTP/1.1 connection that writes a ready request and reads one answer: two system calls each.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Large enough that an answer arrives in one read which does not fill it, so that none is tried in vain.
const BUFFER: usize = 32 * 1_024;

/// One connection, one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer; borrows the connection's buffer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("could not connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(BUFFER) })
    }

    /// Sends a request and reads its answer, which must have a `content-length`.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (head, whole) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some((head, whole)) = extent(&self.received)?
                && self.received.len() >= whole
            {
                break (head, whole);
            }
        };
        let status = self.received.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        Ok(Answer {
            status: status.context("an answer without a status")?,
            head: std::str::from_utf8(&self.received[..head])?,
            body: &self.received[head..whole],
        })
    }

    /// The bare stream, for what is not a plain answer.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Where the head ends and where the answer ends, once the head is there.
fn extent(received: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    let head = end + 4;
    let length = memmem::find(&received[..head], b"content-length: ").map(|at| {
        received[at + 16..head]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .fold(0_usize, |length, digit| length * 10 + usize::from(digit - b'0'))
    });
    Ok(Some((head, head + length.context("an answer without a content-length")?)))
}

impl Answer<'_> {
    /// A header's value, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Fails with the answer's own words unless it has this status.
    pub(crate) fn expect_status(&self, status: u16) -> anyhow::Result<()> {
        if self.status == status {
            return Ok(());
        }
        bail!("the server answered {} instead of {status}: {}", self.status, String::from_utf8_lossy(self.body))
    }
}

/// A GET request.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// What a POST of JSON needs.
#[derive(Clone, Debug)]
pub(crate) struct Poster {
    head: String,
}

impl Poster {
    pub(crate) fn new(path: &str, token: &str) -> Self {
        Self {
            head: format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            ),
        }
    }

    /// Builds a request in a buffer that is used again and again. `key` becomes its `Idempotency-Key`.
    pub(crate) fn build(&self, request: &mut Vec<u8>, body: &str, key: Option<&str>) {
        request.clear();
        request.extend_from_slice(self.head.as_bytes());
        if let Some(key) = key {
            request.extend_from_slice(format!("Idempotency-Key: {key}\r\n").as_bytes());
        }
        request.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_extent_is_its_head_and_its_declared_length() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nHello, world";
        assert_eq!(extent(answer).expect("valid"), Some((39, 51)));
        assert_eq!(extent(b"HTTP/1.1 200 OK\r\ncontent-le").expect("valid"), None);
        assert!(extent(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
