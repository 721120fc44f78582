//! Cross-origin requests: which pages of other sites may call the API.

use http::{HeaderMap, HeaderValue, header};

/// The allowed origins.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    any: bool,
    origins: Vec<String>,
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
);

impl Cors {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self { any: origins.iter().any(|origin| origin == "*"), origins: origins.to_vec() }
    }

    /// Adds what a response to a request with these headers needs.
    pub(crate) fn write(&self, request: &HeaderMap, response: &mut HeaderMap, preflight: bool) {
        if !self.any {
            // The answer depends on the origin even where it is refused.
            response.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let allowed = if self.any {
            HeaderValue::from_static("*")
        } else if self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            origin.clone()
        } else {
            return;
        };
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if preflight {
            response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        } else {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
