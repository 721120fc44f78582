//! Errors as RFC 9457 problem+json: a stable slug to branch on, a sentence for people, the request's id.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use scorewire_core::acceptance::NotAccepted;
use scorewire_core::domain::RequestId;
use scorewire_core::ports::{FailureKind, PortError};
use serde::Serialize;

use super::Response;

/// When a client should try again what is unavailable now.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $slug:literal, $status:ident, $title:literal;)+) => {
        /// Every kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[doc = $doc])+ $kind),+ }

        impl Kind {
            /// All of them: slug, status, title, meaning.
            pub(crate) const ALL: &'static [(&'static str, StatusCode, &'static str, &'static str)] =
                &[$(($slug, StatusCode::$status, $title, concat!($($doc),+))),+];

            const fn row(self) -> (&'static str, StatusCode, &'static str) {
                match self { $(Self::$kind => ($slug, StatusCode::$status, $title)),+ }
            }
        }
    };
}

kinds! {
    /// The path names nothing here.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// There is no topic of this name.
    UnknownTopic = "unknown-topic", NOT_FOUND, "Unknown topic";
    /// There is no feed of this name: `GET /feeds` lists those that are configured.
    UnknownFeed = "unknown-feed", NOT_FOUND, "Unknown feed";
    /// The path is a WebSocket's, and the request asks for none.
    UpgradeRequired = "upgrade-required", UPGRADE_REQUIRED, "A WebSocket client is needed";
    /// The path exists, but not with this method; `Allow` lists those it has.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// A query parameter or header has a value that can not be used.
    InvalidRequest = "invalid-request", BAD_REQUEST, "Invalid request";
    /// The body is not JSON.
    InvalidJson = "invalid-json", BAD_REQUEST, "The body is not valid JSON";
    /// The body is JSON, but not of the documented shape; `errors` names the fields.
    InvalidBody = "invalid-body", UNPROCESSABLE_ENTITY, "The body has the wrong shape";
    /// The body is larger than the server takes.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body took too long to arrive.
    BodyTooSlow = "body-too-slow", REQUEST_TIMEOUT, "The body took too long to arrive";
    /// The body is not declared as application/json.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// There is no token, or it can not be used.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid token is needed";
    /// The token does not permit this.
    Forbidden = "forbidden", FORBIDDEN, "The token does not permit this";
    /// Pages of this origin may not do this: `cors_origins` does not list it.
    OriginNotAllowed = "origin-not-allowed", FORBIDDEN, "The origin is not allowed";
    /// The id belongs to a user of another name.
    UserExists = "user-exists", CONFLICT, "The id is taken";
    /// The same idempotency key was used for another body before.
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another body";
    /// Too many requests; `Retry-After` says when to try again.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The queue is full; `Retry-After` says when to try again. Nothing was queued.
    QueueFull = "queue-full", SERVICE_UNAVAILABLE, "The queue is full";
    /// The source failed, or wishes to be left alone; `Retry-After` says when it is asked again.
    SourceResting = "source-resting", SERVICE_UNAVAILABLE, "The source is left alone for a while";
    /// What the server needs is away; `Retry-After` says when to try again.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable";
    /// A fault of the server; its log has the request's id.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldError {
    /// The field, as a path into the body.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// One field of the body is wrong.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let mut problem = Self::new(Kind::InvalidBody, format!("{field}: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    #[must_use]
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to try again, in whole seconds rounded up.
    #[must_use]
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, seconds.max(1).into())
    }

    /// The response; `instance` is the request's path.
    pub(crate) fn into_response(self, instance: &str, request: &RequestId) -> Response {
        let (slug, status, title) = self.kind.row();
        let body = Body {
            r#type: format!("/problems/{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            instance,
            request_id: request.as_str(),
            errors: &self.errors,
        };
        // Plain structs of strings and numbers always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        Self::from(&error)
    }
}

impl From<std::sync::Arc<PortError>> for Problem {
    fn from(error: std::sync::Arc<PortError>) -> Self {
        Self::from(error.as_ref())
    }
}

impl From<&PortError> for Problem {
    fn from(error: &PortError) -> Self {
        match error.kind {
            FailureKind::Unavailable => {
                // Thousands a second while it lasts; the outage itself is told by whoever meets it first.
                tracing::debug!(%error, "a request met an unavailable store");
                let advice = error.advice.map(|advice| format!(" ({advice})")).unwrap_or_default();
                Self::new(Kind::Unavailable, format!("could not {} now{advice}: try again", error.operation))
                    .retry_after(UNAVAILABLE_RETRY)
            }
            FailureKind::Rejected | FailureKind::Corrupt => {
                tracing::error!(%error, "a request failed");
                Self::new(Kind::Internal, format!("could not {}: the server's log says why", error.operation))
            }
        }
    }
}

impl From<NotAccepted> for Problem {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::QueueFull { .. } => {
                Self::new(Kind::QueueFull, format!("{error}: nothing was queued, try again"))
                    .retry_after(UNAVAILABLE_RETRY)
            }
            NotAccepted::Failed(error) => Self::from(error.as_ref()),
            NotAccepted::Stopping => {
                Self::new(Kind::Unavailable, "the server is stopping: try again").retry_after(UNAVAILABLE_RETRY)
            }
        }
    }
}
