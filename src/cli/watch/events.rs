//! Reads server-sent events out of the pieces that a connection brings.
//!
//! The rules are <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>; a lone
//! carriage return, which they take as the end of a line, too, is something that no Scorewire server sends.

use std::collections::VecDeque;
use std::time::Duration;

/// One event with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` unless the server names it.
    pub(super) name: String,
    /// The `id:` of this very event.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// What was read so far, and what it says about coming back.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// Bytes of a line that has not ended yet.
    line: Vec<u8>,
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
    ready: VecDeque<Event>,
    /// What to send as `Last-Event-ID`.
    pub(super) last_id: Option<String>,
    /// The wait that the server asked for.
    pub(super) retry: Option<Duration>,
}

impl EventReader {
    /// A reader of a new connection, which knows where the last one ended.
    pub(super) fn after(last_id: Option<String>) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// Takes the next piece, which may end anywhere, even within a character.
    pub(super) fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            self.field(line.strip_suffix('\r').unwrap_or(&line));
        }
    }

    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn field(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.name = Some(value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let (name, id, data) = (self.name.take(), self.id.take(), self.data.take());
        if let Some(id) = &id {
            self.last_id = Some(id.clone());
        }
        if let Some(data) = data {
            self.ready.push_back(Event { name: name.unwrap_or_else(|| "message".to_owned()), id, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, id: Option<&str>, data: &str) -> Event {
        Event { name: name.to_owned(), id: id.map(str::to_owned), data: data.to_owned() }
    }

    fn read(reader: &mut EventReader) -> Vec<Event> {
        std::iter::from_fn(|| reader.next()).collect()
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "event: top\r\nid: e:7\r\ndata: \"Zoë\"\r\n\r\n:\n\ndata: a\ndata:b\n\n";
        let expected = vec![event("top", Some("e:7"), "\"Zoë\""), event("message", None, "a\nb")];
        for size in 1..text.len() {
            let mut reader = EventReader::default();
            text.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
            assert_eq!(read(&mut reader), expected, "in pieces of {size}");
            assert_eq!(reader.last_id.as_deref(), Some("e:7"));
        }
    }

    #[test]
    fn an_event_that_was_cut_off_moves_nothing() {
        let mut reader = EventReader::after(Some("e:6".to_owned()));
        reader.push(b"event: top\nid: e:7\ndata: []\n");
        assert_eq!(read(&mut reader), []);
        assert_eq!(reader.last_id.as_deref(), Some("e:6"));
    }

    #[test]
    fn the_wait_that_the_server_asks_for_is_kept() {
        let mut reader = EventReader::default();
        reader.push(b"retry: 1500\n: come back\n\nretry: soon\n\n");
        assert_eq!(reader.retry, Some(Duration::from_millis(1_500)));
        assert_eq!(read(&mut reader), []);
    }
}
