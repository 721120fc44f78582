//! Streams: one topic or several as server-sent events, and the upgrade to a WebSocket.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use scorewire_core::domain::{BoardId, TopicError, TopicName};
use scorewire_core::metrics::Transport;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::access::{self, Watcher};
use super::problem::{Kind, Problem};
use super::shed::shed;
use super::{App, Call, Response, event_stream};
use crate::live::{self, Close, Cursor, Follow, Form, Socket, SocketLimits, Visitor};

/// The one subprotocol of `/ws`.
const SUBPROTOCOL: &str = "scorewire.v1";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The query parameters of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamQuery {
    topics: Vec<String>,
    last_event_id: Option<String>,
    since: Option<i64>,
    pub(super) every: Option<Duration>,
    conflate: bool,
}

impl StreamQuery {
    pub(super) fn parse(call: &Call<'_>, several: bool) -> Result<Self, Problem> {
        let invalid = |why: String| Problem::new(Kind::InvalidRequest, format!("query parameters: {why}"));
        let mut query = Self { conflate: true, ..Self::default() };
        for (name, value) in call.query::<Vec<(String, String)>>()? {
            match name.as_str() {
                "topic" if several => query.topics.push(value),
                "last_event_id" => query.last_event_id = Some(value),
                "since" => {
                    let second = value.parse().map_err(|_| invalid("since is a Unix time in seconds".to_owned()))?;
                    query.since = Some(second);
                }
                "every" => query.every = Some(live::parse_every(&value).map_err(invalid)?),
                "conflate" => {
                    query.conflate = match value.as_str() {
                        "1" => true,
                        "0" => false,
                        _ => return Err(invalid("conflate is 1 or 0".to_owned())),
                    }
                }
                "access_token" => {}
                _ => {
                    let also = if several { ", topic" } else { "" };
                    let known = "choose from last_event_id, since, every, conflate, access_token";
                    return Err(invalid(format!("{name} is not one: {known}{also}")));
                }
            }
        }
        Ok(query)
    }

    /// The place that the client names. A browser repeats the URL it was given, so the header is the newer of the two.
    fn named<'a>(&'a self, call: &'a Call<'_>) -> Option<&'a str> {
        let header = call.headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("not text"));
        header.filter(|id| !id.is_empty()).or(self.last_event_id.as_deref())
    }

    fn follow(&self, topic: TopicName, cursor: Cursor) -> Follow {
        Follow { topic, cursor, every: self.every, conflate: self.conflate, pace: None }
    }

    /// One topic from where the client wants to begin.
    pub(super) fn single(&self, call: &Call<'_>, topic: TopicName) -> Follow {
        self.follow(topic, Cursor::named(self.named(call), self.since))
    }
}

/// What a client wishes to follow, and in which form.
pub(super) type Wish = (Vec<Follow>, Form);

/// `GET /scores/stream`: the board as server-sent events.
pub(super) async fn board(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    events(app, call, single(call, TopicName::of_board(&BoardId::main()))).await
}

/// `GET /topics/{topic}/stream`: any topic as server-sent events.
pub(super) async fn topic(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let name = percent_decode_str(call.parameter).decode_utf8_lossy();
    events(app, call, named_topic(app, &name).and_then(|topic| single(call, topic))).await
}

/// `GET /topics/stream?topic=…&topic=…`: several topics as server-sent events.
pub(super) async fn several(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    events(app, call, all(app, call)).await
}

fn single(call: &Call<'_>, topic: TopicName) -> Result<Wish, Problem> {
    let query = StreamQuery::parse(call, false)?;
    Ok((vec![query.single(call, topic)], Form::Single))
}

fn all(app: &App, call: &Call<'_>) -> Result<Wish, Problem> {
    let most = app.settings.max_topics_per_viewer;
    let query = StreamQuery::parse(call, true)?;
    if query.topics.is_empty() || query.topics.len() > most {
        let detail = format!("name 1 to {most} topics: ?topic=scores&topic=match:1");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let places = query.named(call).map(places);
    let mut follows: Vec<Follow> = Vec::new();
    for name in &query.topics {
        let topic = named_topic(app, name)?;
        let cursor = match &places {
            // Of a topic that had not begun there is no place.
            Some(places) => match places.iter().find(|(of, _)| *of == topic.as_str()) {
                Some((_, place)) => Cursor::named(Some(place), None),
                None if places.is_empty() => Cursor::Garbled,
                None => Cursor::Now,
            },
            None => Cursor::named(None, query.since),
        };
        if follows.iter().all(|follow| follow.topic != topic) {
            follows.push(query.follow(topic, cursor));
        }
    }
    Ok((follows, Form::Several))
}

/// Reads `<topic>@<place>,…`.
fn places(id: &str) -> Vec<(&str, &str)> {
    id.split(',').filter_map(|part| part.split_once('@')).collect()
}

fn named_topic(app: &App, name: &str) -> Result<TopicName, Problem> {
    let found =
        TopicName::parse(name).and_then(|topic| app.hub.has(&topic).then_some(topic).ok_or(TopicError::Unknown));
    found.map_err(|error| match error {
        TopicError::Malformed => Problem::new(Kind::InvalidRequest, format!("topic: {error}")),
        TopicError::Unknown => Problem::new(Kind::UnknownTopic, error.to_string()),
    })
}

/// What there was no room for.
const NO_ROOM: &str = "there is no room for another viewer";
/// How long one waits who found no room.
const NO_ROOM_WAIT: Duration = Duration::from_secs(2);

fn visitor(call: &Call<'_>, watcher: &Watcher, transport: Transport) -> Visitor {
    Visitor { address: call.address, subject: watcher.subject.clone(), transport, cut: call.arrival.cut.clone() }
}

/// Whether this address may open one more stream now; else why not, and how long to wait.
async fn may_open(app: &App, call: &Call<'_>) -> Result<(), (&'static str, Duration)> {
    match app.limits.check_stream(call.address).await {
        Ok(None) => Ok(()),
        Ok(Some(wait)) => Err(("this address opened too many streams", wait)),
        Err(_) => Err(("the limits can not be checked now", NO_ROOM_WAIT)),
    }
}

/// The limit comes first: what is wrong with a request is looked at no more often than it allows.
pub(super) async fn events(app: &App, call: &Call<'_>, wish: Result<Wish, Problem>) -> Result<Response, Problem> {
    let turned_away = |why, wait| {
        app.wiring.metrics.closed(Transport::Sse, Close::TryLater.code());
        Ok(shed(why, wait))
    };
    if let Err((why, wait)) = may_open(app, call).await {
        return turned_away(why, wait);
    }
    let (follows, form) = wish?;
    let topics: Vec<_> = follows.iter().map(|follow| follow.topic.clone()).collect();
    let watcher = access::watcher(app, call, &topics)?;
    let visitor = visitor(call, &watcher, Transport::Sse);
    let Some(mut viewer) = app.hub.admit(visitor, watcher.expires) else {
        return turned_away(NO_ROOM, NO_ROOM_WAIT);
    };
    follows.into_iter().for_each(|follow| viewer.follow(follow));
    Ok(event_stream(sync_wrapper::SyncStream::new(live::stream(viewer, form))))
}

/// `GET /ws`: upgrades to a WebSocket that follows what it is asked for.
pub(super) async fn socket(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let may_open = may_open(app, call).await;
    let key = handshake(call)?;
    let upgrade = call.arrival.upgrade.clone().ok_or_else(upgrade_required)?;
    let subprotocol = subprotocol(call)?;
    if !app.cors.allows_upgrade(call.headers) {
        let detail = "pages of this origin may not connect: list it in cors_origins";
        return Err(Problem::new(Kind::OriginNotAllowed, detail));
    }
    let watcher = access::watcher(app, call, &[])?;
    let visitor = visitor(call, &watcher, Transport::WebSocket);
    let cut = visitor.cut.clone();
    let viewer = may_open.ok().and_then(|()| app.hub.admit(visitor, watcher.expires));
    if viewer.is_none() {
        app.wiring.metrics.closed(Transport::WebSocket, Close::TryLater.code());
    }
    let limits = SocketLimits::from_settings(&app.settings);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let stream = TokioIo::new(stream);
        match viewer {
            Some(viewer) => {
                Socket { viewer, limits, may: Box::new(move |topic| watcher.may(topic)), cut }.run(stream).await;
            }
            // A browser learns nothing of an upgrade that fails, but it reads a close.
            None => live::turn_away(stream, Close::TryLater).await,
        }
    });
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Ok(response)
}

fn upgrade_required() -> Problem {
    let detail = "this is a WebSocket of version 13: connect with a WebSocket client over HTTP/1.1";
    Problem::new(Kind::UpgradeRequired, detail)
        .header(header::UPGRADE, HeaderValue::from_static("websocket"))
        .header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

/// Checks the opening handshake (RFC 6455, 4.2.1); returns the client's key.
fn handshake<'a>(call: &'a Call<'_>) -> Result<&'a [u8], Problem> {
    let names = |header: HeaderName, word: &str| {
        let values = call.headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let version = call.headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !names(header::UPGRADE, "websocket") || !names(header::CONNECTION, "upgrade") || !version {
        return Err(upgrade_required());
    }
    let key = call.headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    // 16 bytes in base64.
    key.filter(|key| key.len() == 24 && key.ends_with(b"=="))
        .ok_or_else(|| Problem::new(Kind::InvalidRequest, "Sec-WebSocket-Key: 16 random bytes in base64"))
}

/// What to answer a client that offers subprotocols.
fn subprotocol(call: &Call<'_>) -> Result<Option<&'static str>, Problem> {
    let offers = call.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut offers = offers.flat_map(|value| value.split(',')).map(str::trim).peekable();
    if offers.peek().is_none() {
        return Ok(None);
    }
    if offers.any(|offer| offer == SUBPROTOCOL) {
        return Ok(Some(SUBPROTOCOL));
    }
    Err(Problem::new(Kind::InvalidRequest, format!("Sec-WebSocket-Protocol: this server speaks {SUBPROTOCOL}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_several_topics_are_read() {
        assert_eq!(places("scores@e1:7,match:1@e2:3"), [("scores", "e1:7"), ("match:1", "e2:3")]);
        assert_eq!(places("garbage"), []);
    }
}
