//! The wire form of server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Names, ids and data come from this program as one line each: JSON escapes line breaks, positions have none.

use bytes::Bytes;
use futures_util::{Stream, stream};
use scorewire_core::domain::{Message, Position};

use super::viewer::Viewer;

/// A line that keeps proxies and clients from giving up on a silent connection.
pub(super) const HEARTBEAT: &[u8] = b":\n\n";

/// One event.
pub(super) fn event(name: &str, id: &Position, data: &str) -> Bytes {
    debug_assert!(!data.contains(['\n', '\r']), "data is one line");
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}

/// A topic's message.
pub(super) fn message(message: &Message, epoch: &scorewire_core::domain::Epoch) -> Bytes {
    let id = Position { epoch: epoch.clone(), offset: message.offset };
    event(message.event.name(), &id, &message.data)
}

/// The last line of a stream that the client shall come back to after `wait_ms`.
pub(super) fn come_back(wait_ms: u64) -> Bytes {
    format!("retry: {wait_ms}\n: the server is restarting, please come back\n\n").into()
}

/// A viewer as the body of a response.
pub(crate) fn stream(viewer: Viewer) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::unfold(viewer, |mut viewer| async move { Some((Ok(viewer.next().await?), viewer)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_name_id_data_and_an_empty_line() {
        let id: Position = "e1:7".parse().expect("valid");
        assert_eq!(event("top", &id, "[]"), "event: top\nid: e1:7\ndata: []\n\n");
    }
}
