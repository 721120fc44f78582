//! A message as viewers receive it: encoded at most once for each wire form, however many viewers there are.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use scorewire_core::domain::{Epoch, Key, Message, Position, TopicName};

use super::{envelope, sse};

/// A message and its encodings.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(super) topic: TopicName,
    pub(super) epoch: Arc<Epoch>,
    pub(super) message: Arc<Message>,
    /// Bytes of all messages of its tail up to this one.
    pub(super) bytes_before_next: u64,
    key: OnceLock<Key>,
    sse: OnceLock<Bytes>,
    placeless_sse: OnceLock<Bytes>,
    value: OnceLock<Bytes>,
    envelope: OnceLock<Bytes>,
    placeless_envelope: OnceLock<Bytes>,
}

impl Frame {
    /// Not encoded yet; `bytes_before` is what the tail held before it.
    pub(super) fn new(topic: &TopicName, epoch: &Arc<Epoch>, message: &Arc<Message>, bytes_before: u64) -> Self {
        Self {
            topic: topic.clone(),
            epoch: Arc::clone(epoch),
            message: Arc::clone(message),
            bytes_before_next: bytes_before + message.data.len() as u64,
            key: OnceLock::new(),
            sse: OnceLock::new(),
            placeless_sse: OnceLock::new(),
            value: OnceLock::new(),
            envelope: OnceLock::new(),
            placeless_envelope: OnceLock::new(),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.message.offset
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: (*self.epoch).clone(), offset: self.message.offset }
    }

    /// What it is a value of, read from its data at the first question.
    pub(super) fn key(&self) -> Key {
        *self.key.get_or_init(|| self.message.key())
    }

    /// As an event of a stream of one topic; without its place where the viewer's view is not yet the topic's state.
    pub(super) fn sse(&self, placed: bool) -> &Bytes {
        let Message { event, data, .. } = &*self.message;
        if placed {
            self.sse.get_or_init(|| sse::event(event.name(), Some(&self.position()), data))
        } else {
            self.placeless_sse.get_or_init(|| sse::event(event.name(), None, data))
        }
    }

    /// As an event of a feed's own stream, which has no name.
    pub(super) fn value(&self) -> &Bytes {
        self.value.get_or_init(|| sse::value(&self.position(), &self.message.data))
    }

    /// As a message that names its topic.
    pub(super) fn envelope(&self, placed: bool) -> &Bytes {
        let Message { event, data, .. } = &*self.message;
        if placed {
            self.envelope.get_or_init(|| envelope::message(&self.topic, Some(&self.position()), event.name(), data))
        } else {
            self.placeless_envelope.get_or_init(|| envelope::message(&self.topic, None, event.name(), data))
        }
    }
}

/// The newest value of each key, in order. The last message is always among them.
pub(super) fn conflate(frames: &mut Vec<Arc<Frame>>) {
    let mut seen = std::collections::HashSet::with_capacity(frames.len());
    frames.reverse();
    frames.retain(|frame| seen.insert(frame.key()));
    frames.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;
    use scorewire_core::domain::{BoardId, Event, Micros};

    fn frame(offset: u64, event: &str, data: &str) -> Arc<Frame> {
        let event = Event::parse(event).expect("a name");
        let message = Arc::new(Message { offset, at: Micros(0), event, data: data.into() });
        let epoch = Arc::new(Epoch::parse("e1").expect("valid"));
        Arc::new(Frame::new(&TopicName::of_board(&BoardId::main()), &epoch, &message, 0))
    }

    #[test]
    fn the_newest_value_of_each_key_stays_in_its_place() {
        let user = |offset, id: i64| frame(offset, "update", &format!("{{\"userId\":{id}}}"));
        let mut frames = vec![user(1, 7), frame(2, "top", "[]"), user(3, 8), user(4, 7), frame(5, "top", "[1]")];
        conflate(&mut frames);
        assert_eq!(frames.iter().map(|f| f.offset()).collect::<Vec<_>>(), [3, 4, 5]);
        let mut log = vec![frame(1, "goal", "{}"), frame(2, "goal", "{}")];
        conflate(&mut log);
        assert_eq!(log.len(), 2, "what happened is never replaced");
    }

    #[test]
    fn a_frame_is_encoded_once_for_each_form() {
        let frame = frame(3, "top", "[]");
        assert_eq!(frame.sse(true), "event: top\nid: e1:3\ndata: []\n\n");
        assert_eq!(frame.value(), "id: e1:3\ndata: []\n\n");
        assert_eq!(frame.sse(false), "event: top\ndata: []\n\n");
        assert_eq!(frame.envelope(true), r#"{"type":"message","topic":"scores","id":"e1:3","event":"top","data":[]}"#);
        assert_eq!(frame.envelope(false), r#"{"type":"message","topic":"scores","event":"top","data":[]}"#);
        assert_eq!(frame.sse(true).as_ptr(), frame.sse(true).as_ptr());
    }
}
