//! Answers a client may already have: `ETag` and 304 (RFC 9110, 13).

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Response;

/// The body with its tag, or 304 if the request says that the client has it.
pub(super) fn respond(request: &HeaderMap, body: Bytes, media_type: HeaderValue, caching: HeaderValue) -> Response {
    let mut hash = DefaultHasher::new();
    body.hash(&mut hash);
    let etag = HeaderValue::from_str(&format!("\"{:016x}\"", hash.finish()))
        .unwrap_or_else(|_| unreachable!("hexadecimal digits are a header value"));
    let mut response = if is_held(request, &etag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(body.into());
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    };
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    response
}

/// Weak comparison: a proxy may have weakened the tag.
fn is_held(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let ours = etag.to_str().unwrap_or_default();
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|theirs| theirs == "*" || theirs.strip_prefix("W/").unwrap_or(theirs) == ours)
}
