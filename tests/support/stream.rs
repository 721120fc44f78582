//! Reads server-sent events the way the standard says, strictly enough to notice what a lenient client forgives.

use reqwest::Response;
use serde_json::Value;

use super::within;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl SseEvent {
    /// The offset in its id.
    pub(crate) fn offset(&self) -> u64 {
        self.id.split_once(':').and_then(|(_, offset)| offset.parse().ok()).expect("epoch:offset")
    }
}

/// A connected viewer.
pub(crate) struct Stream {
    pub(crate) response: Response,
    buffer: String,
    /// Comment lines seen.
    pub(crate) comments: usize,
    /// The last `retry:` seen.
    pub(crate) retry: Option<u64>,
}

impl Stream {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, buffer: String::new(), comments: 0, retry: None }
    }

    /// The next event; `None` when the stream ended in order.
    pub(crate) async fn next(&mut self) -> Option<SseEvent> {
        within("an event", self.next_at_leisure()).await
    }

    /// The next event, however long it takes.
    pub(crate) async fn next_at_leisure(&mut self) -> Option<SseEvent> {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block = self.buffer[..end].to_owned();
                self.buffer.drain(..end + 2);
                if let Some(event) = self.read(&block) {
                    return Some(event);
                }
            }
            let chunk = self.response.chunk().await.expect("the stream does not break off")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next block of lines that is no comment; `None` when the stream ended in order.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block = self.buffer[..end].to_owned();
                self.buffer.drain(..end + 2);
                if !block.starts_with(':') {
                    return Some(block);
                }
            }
            let chunk = self.response.chunk().await.expect("the stream does not break off")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event, which must be of this kind.
    pub(crate) async fn expect(&mut self, event: &str) -> SseEvent {
        let next = self.next().await.expect("the stream goes on");
        assert_eq!(next.event, event, "{next:?}");
        next
    }

    /// The next event of this kind, past others.
    pub(crate) async fn next_of(&mut self, event: &str) -> SseEvent {
        loop {
            let next = self.next().await.expect("the stream goes on");
            if next.event == event {
                return next;
            }
        }
    }

    /// Whether it goes on: nothing is there to read, and no end.
    pub(crate) async fn is_open(&mut self) -> bool {
        tokio::select! {
            biased;
            chunk = self.response.chunk() => chunk.is_ok_and(|chunk| chunk.is_some()),
            () = std::future::ready(()) => true,
        }
    }

    /// Waits for a comment line.
    pub(crate) async fn comment(&mut self) {
        let before = self.comments;
        within("a comment", async {
            while self.comments == before {
                let chunk = self.response.chunk().await.expect("no break").expect("the stream goes on");
                let text = std::str::from_utf8(&chunk).expect("UTF-8");
                self.comments += text.lines().filter(|line| line.starts_with(':')).count();
            }
        })
        .await;
    }

    fn read(&mut self, block: &str) -> Option<SseEvent> {
        let (mut event, mut id, mut data) = (None, None, None);
        for line in block.split('\n') {
            match line.split_once(':').expect("a field or a comment") {
                ("", _) => self.comments += 1,
                ("event", value) => event = Some(value.trim_start().to_owned()),
                ("id", value) => id = Some(value.trim_start().to_owned()),
                ("data", value) => data = Some(serde_json::from_str(value).expect("data is JSON")),
                ("retry", value) => self.retry = Some(value.trim().parse().expect("milliseconds")),
                other => panic!("an unknown field: {other:?}"),
            }
        }
        Some(SseEvent { event: event?, id: id.expect("every event has an id"), data: data.expect("and data") })
    }
}

/// A stream of several topics: each event's data is a message of the protocol.
pub(crate) struct Envelopes {
    stream: Stream,
}

impl Envelopes {
    pub(crate) fn new(response: Response) -> Self {
        Self { stream: Stream::new(response) }
    }

    /// The next message, and the id of its event if it has one.
    pub(crate) async fn next(&mut self) -> (Option<String>, Value) {
        let block = within("an event", self.stream.block()).await.expect("the stream goes on");
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        assert_eq!(field("event:"), None, "events of several topics have the default type");
        let data = serde_json::from_str(field("data:").expect("data")).expect("JSON");
        (field("id:").map(str::to_owned), data)
    }
}
