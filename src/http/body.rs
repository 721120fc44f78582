//! Reading a JSON body: bounded in size and time, and precise about what is wrong with it.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// How much of a body that is too large is read and thrown away: a client that is still writing must not find its
/// connection closed before it has read why.
const DRAINED: usize = 4 << 20;
/// A client that pauses this long is no longer writing.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Reads a body declared as JSON into a value.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limits: BodyLimits,
) -> Result<T, Problem> {
    must_be_json(headers)?;
    parse(&whole(headers, body, limits).await?)
}

/// Reads a body that may be left out into a value.
pub(crate) async fn json_or_nothing<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limits: BodyLimits,
) -> Result<Option<T>, Problem> {
    let bytes = whole(headers, body, limits).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    must_be_json(headers)?;
    parse(&bytes).map(Some)
}

/// Reads all of a body, in time.
async fn whole(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limits: BodyLimits,
) -> Result<BytesMut, Problem> {
    tokio::time::timeout(limits.time, read(headers, body, limits.bytes))
        .await
        .map_err(|_| Problem::new(Kind::BodyTooSlow, format!("send the whole body within {:?}", limits.time)))?
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_json(headers) {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "send the body as Content-Type: application/json"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limit: usize,
) -> Result<BytesMut, Problem> {
    let too_large = || Problem::new(Kind::BodyTooLarge, format!("send at most {limit} bytes"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut body = std::pin::pin!(body);
    if declared.is_some_and(|length| length > limit as u64) {
        drain(body).await;
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk =
            chunk.map_err(|error| Problem::new(Kind::InvalidRequest, format!("the body broke off: {error}")))?;
        if bytes.len() + chunk.remaining() > limit {
            drain(body).await;
            return Err(too_large());
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let length = part.len();
            chunk.advance(length);
        }
    }
    Ok(bytes)
}

async fn drain(mut body: std::pin::Pin<&mut impl Stream<Item = Result<impl Buf, warp::Error>>>) {
    let mut drained = 0;
    while drained < DRAINED
        && let Ok(Some(Ok(chunk))) = tokio::time::timeout(DRAIN_PAUSE, body.next()).await
    {
        drained += chunk.remaining();
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde reads a struct from an array, too: fields by position are no part of this API.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::field("body", "invalid type: sequence, expected an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        problem(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| problem(".", &error))?;
    Ok(value)
}

fn problem(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => {
            // serde_json appends where in the text: the field says it better.
            let detail = error.to_string();
            let detail = detail.split(" at line ").next().unwrap_or_default().to_owned();
            let field = if path == "." { "body".to_owned() } else { path.to_owned() };
            Problem::field(field, detail)
        }
        _ => Problem::new(Kind::InvalidJson, format!("the body is not valid JSON: {error}")),
    }
}
