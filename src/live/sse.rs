//! The wire form of server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Names, ids and data come from this program as one line each: JSON escapes line breaks, positions have none.

use std::fmt::Write;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use scorewire_core::domain::{Position, TopicName};

use super::close::Close;
use super::envelope::{self, Told};
use super::step::{Began, Step};
use super::viewer::Viewer;

/// A line that keeps proxies and clients from giving up on a silent connection.
const HEARTBEAT: &[u8] = b":\n\n";

/// How a stream tells its topics apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It has one: events have their names, ids are places in the topic.
    Single,
    /// It has several: each event's data names its topic, ids are places in all of them.
    Several,
    /// It has one, a feed: events have no name, so that `onmessage` of a browser gets them; ids are places in the topic.
    Feed,
}

/// One event; without an id the client keeps the one it has.
pub(super) fn event(name: &str, id: Option<&Position>, data: &str) -> Bytes {
    debug_assert!(!data.contains(['\n', '\r']), "data is one line");
    match id {
        Some(id) => format!("event: {name}\nid: {id}\ndata: {data}\n\n").into(),
        None => format!("event: {name}\ndata: {data}\n\n").into(),
    }
}

/// A message of a feed on its own stream.
pub(super) fn value(id: &Position, data: &str) -> Bytes {
    debug_assert!(!data.contains(['\n', '\r']), "data is one line");
    format!("id: {id}\ndata: {data}\n\n").into()
}

/// Clients of an ended stream come back after so long, spread at random so that they do not come all at once.
const COME_BACK: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_millis(2_500);

fn come_back() -> Duration {
    Duration::from_secs_f64(rand::random_range(COME_BACK.start.as_secs_f64()..COME_BACK.end.as_secs_f64()))
}

/// The last event of a stream: when to come back, why it ends in words for people, and the same for programs.
pub(crate) fn closing(close: Close, why: &str, wait: Duration) -> Bytes {
    debug_assert!(!why.contains(['\n', '\r']), "a comment is one line");
    format!("retry: {}\n: {why}\nevent: close\ndata: {}\n\n", wait.as_millis(), close.json()).into()
}

/// The end of a stream.
fn last_words(close: Close) -> Bytes {
    match close {
        Close::Draining => {
            format!("retry: {}\n: the server is restarting, please come back\n\n", come_back().as_millis()).into()
        }
        Close::Reauthenticate => format!("event: reauthenticate\ndata: {}\n\n", close.json()).into(),
        _ => closing(close, close.reason(), come_back()),
    }
}

/// A viewer as the body of a response.
pub(crate) fn stream(viewer: Viewer, form: Form) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::unfold(Some(viewer), move |viewer| async move {
        let mut viewer = viewer?;
        let step = viewer.next().await;
        let bytes = match form {
            Form::Single => single(&step),
            Form::Several => several(&step, &viewer),
            Form::Feed => feed(&step),
        };
        let over = matches!(step, Step::End(_));
        Some((Ok(bytes), (!over).then_some(viewer)))
    })
}

fn single(step: &Step) -> Bytes {
    match step {
        Step::Began { began: Began { position, reset, snapshot, .. }, .. } => {
            let mut text = BytesMut::new();
            if let Some(reason) = reset {
                text.extend_from_slice(&event("reset", Some(position), &format!("{{\"reason\":\"{reason}\"}}")));
            }
            if let Some(snapshot) = snapshot {
                text.extend_from_slice(&event("snapshot", Some(position), snapshot));
            }
            // Answers at once even when there is nothing to say, so that the client knows it is connected.
            if text.is_empty() { Bytes::from_static(HEARTBEAT) } else { text.freeze() }
        }
        Step::Batch { frames, conflated } => match &frames[..] {
            [skipped @ .., last] => {
                joined(|| skipped.iter().map(|frame| frame.sse(!conflated)).chain([last.sse(true)]))
            }
            [] => Bytes::from_static(HEARTBEAT),
        },
        Step::Repeat(frame) => frame.sse(true).clone(),
        Step::Heartbeat => Bytes::from_static(HEARTBEAT),
        Step::End(close) => last_words(*close),
    }
}

/// Parts in one piece; one part is not copied.
fn joined<'a, I: Iterator<Item = &'a Bytes>>(parts: impl Fn() -> I) -> Bytes {
    if let (Some(only), None) = (parts().next(), parts().nth(1)) {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(parts().map(Bytes::len).sum());
    parts().for_each(|part| joined.extend_from_slice(part));
    joined.freeze()
}

fn feed(step: &Step) -> Bytes {
    match step {
        Step::Began { began: Began { position, reset, snapshot, .. }, .. } => {
            let mut text = BytesMut::new();
            if let Some(reason) = reset {
                // In a comment: an event would need a name, and who reads messages only would not see it.
                text.extend_from_slice(format!(": reset {reason}\n\n").as_bytes());
            }
            if let Some(snapshot) = snapshot {
                text.extend_from_slice(&value(position, snapshot));
            }
            if text.is_empty() { Bytes::from_static(HEARTBEAT) } else { text.freeze() }
        }
        // A conflated batch of values of one thing is one value, so each has its place.
        Step::Batch { frames, .. } => joined(|| frames.iter().map(|frame| frame.value())),
        Step::Repeat(frame) => frame.value().clone(),
        Step::Heartbeat => Bytes::from_static(HEARTBEAT),
        Step::End(close) => last_words(*close),
    }
}

fn several(step: &Step, viewer: &Viewer) -> Bytes {
    let mut text = Several { text: BytesMut::new(), viewer };
    match step {
        Step::Began { topic, began } => {
            let (name, id) = (topic.as_str(), began.position.to_string());
            let at = Some((topic, began.position.offset));
            text.event(at, &Told::Subscribed { topic: name, id: id.clone(), recovered: began.recovered }.json());
            if let Some(reason) = &began.reset {
                text.event(at, &Told::Reset { topic: name, id, reason: reason.clone() }.json());
            }
            if let Some(snapshot) = &began.snapshot {
                text.event(at, &envelope::message(topic, Some(&began.position), "snapshot", snapshot));
            }
        }
        Step::Batch { frames, conflated } => {
            for (n, frame) in frames.iter().enumerate() {
                let placed = !conflated || n + 1 == frames.len();
                text.event(placed.then_some((&frame.topic, frame.offset())), frame.envelope(placed));
            }
        }
        Step::Repeat(frame) => text.event(Some((&frame.topic, frame.offset())), frame.envelope(true)),
        // A page can not see comments, and has no other way to know that a silent stream is alive.
        Step::Heartbeat => text.event(None, &Told::Heartbeat.json()),
        Step::End(close) => return last_words(*close),
    }
    text.text.freeze()
}

/// Events of a stream of several topics, as they are written.
struct Several<'a> {
    text: BytesMut,
    viewer: &'a Viewer,
}

impl Several<'_> {
    /// Appends an event; its id are the viewer's places, with this topic at this offset.
    fn event(&mut self, at: Option<(&TopicName, u64)>, data: &[u8]) {
        if let Some((moved, offset)) = at {
            let mut separator = "id: ";
            for (topic, position) in self.viewer.places() {
                let offset = if topic == moved { offset } else { position.offset };
                // Writing into memory does not fail.
                let _ = write!(self.text, "{separator}{topic}@{}:{offset}", position.epoch.as_str());
                separator = ",";
            }
            self.text.extend_from_slice(b"\n");
        }
        self.text.extend_from_slice(b"data: ");
        self.text.extend_from_slice(data);
        self.text.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_name_id_data_and_an_empty_line() {
        let id: Position = "e1:7".parse().expect("valid");
        assert_eq!(event("top", Some(&id), "[]"), "event: top\nid: e1:7\ndata: []\n\n");
        assert_eq!(event("top", None, "[]"), "event: top\ndata: []\n\n");
    }

    #[test]
    fn a_message_of_a_feed_has_no_name() {
        let id: Position = "e1:7".parse().expect("valid");
        assert_eq!(value(&id, "{}"), "id: e1:7\ndata: {}\n\n");
    }

    #[test]
    fn an_end_says_why_and_when_to_come_back() {
        let told = |close| String::from_utf8(last_words(close).to_vec()).expect("text");
        assert!(told(Close::Draining).starts_with("retry: "));
        assert!(told(Close::SlowViewer).contains("event: close\ndata: {\"code\":4000,"));
        assert!(told(Close::Reauthenticate).starts_with("event: reauthenticate\ndata: {\"code\":4001,"));
    }
}
