//! Sources over HTTP: each failure is told apart, and nothing a source sends costs more than the limits say.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use ::http::header::{
    ACCEPT, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use ::http::{HeaderMap as Headers, StatusCode};
use async_trait::async_trait;
use reqwest::{Client, Response, redirect};

use super::retry_after::retry_after;
use crate::domain::{FetchFailure, FetchFault, SourceUrl};
use crate::ports::{FailureKind, PortError, Source, SourceAnswer, SourceReply, SourceRequest, Validators};
use crate::settings::Settings;

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    /// Time for a connection, TLS included.
    pub connect: Duration,
    /// Time for everything, redirects and body included.
    pub total: Duration,
    /// Largest body, unpacked.
    pub body: usize,
    /// Redirects followed.
    pub redirects: u32,
}

impl SourceLimits {
    /// The limits the settings name.
    #[must_use]
    pub const fn from_settings(settings: &Settings) -> Self {
        Self {
            connect: settings.source_connect_timeout.0,
            total: settings.source_timeout.0,
            body: settings.source_max_body.0,
            redirects: settings.source_redirects,
        }
    }
}

/// Gets URLs over HTTP/1.1, plain or with TLS and the system's certificates, packed with gzip or not.
pub struct HttpSource {
    client: Client,
    limits: SourceLimits,
}

impl HttpSource {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`FailureKind::Rejected`] when the system has no certificates.
    pub fn new(limits: SourceLimits) -> Result<Self, PortError> {
        crate::tls::install_provider();
        let client = Client::builder()
            .user_agent(concat!("scorewire/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            // Followed here instead, where it is known which headers are secret.
            .redirect(redirect::Policy::none())
            .build();
        let client = client.map_err(|e| {
            PortError::new("prepare requests to sources", FailureKind::Rejected, e)
                .with_advice(Some("install the system's certificates (apt: ca-certificates)"))
        })?;
        Ok(Self { client, limits })
    }

    /// Follows redirects to the last answer.
    async fn respond(&self, request: SourceRequest<'_>, status: &mut Option<u16>) -> Result<Response, FetchFailure> {
        let (mut url, mut headers) = (request.url.clone(), headers_of(request));
        for _ in 0..=self.limits.redirects {
            let sent = self.client.get(url.with_secrets().clone()).headers(headers.clone()).send();
            let response = sent.await.map_err(|e| self.failure_of(e))?;
            *status = Some(response.status().as_u16());
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let next = location(&url, &response)?;
            if !next.same_origin(&url) {
                // They were meant for the other one.
                headers = plain_headers();
            }
            url = next;
        }
        let most = self.limits.redirects;
        Err(FetchFailure::new(FetchFault::Redirects, format!("it redirects in a circle, or more than {most} times")))
    }

    /// Reads the body up to the limit; counts what was read.
    async fn body(&self, mut response: Response, read: &mut u64) -> Result<Vec<u8>, FetchFailure> {
        let most = self.limits.body;
        let too_large = || FetchFailure::new(FetchFault::TooLarge, format!("the answer has more than {most} bytes"));
        let said = response.content_length().unwrap_or_default();
        if said > most as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failure_of(e))? {
            *read += chunk.len() as u64;
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn answer(
        &self,
        request: SourceRequest<'_>,
        status: &mut Option<u16>,
        bytes: &mut u64,
    ) -> Result<SourceAnswer, FetchFailure> {
        let response = self.respond(request, status).await?;
        if response.status() == StatusCode::NOT_MODIFIED && *request.validators != Validators::default() {
            return Ok(SourceAnswer::Unmodified);
        }
        refuse(&response)?;
        let text = |name: HeaderName| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let validators = Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) };
        Ok(SourceAnswer::Body { bytes: self.body(response, bytes).await?, validators })
    }

    fn failure_of(&self, error: reqwest::Error) -> FetchFailure {
        // The URL may hold secrets.
        let error = error.without_url();
        let kind = if error.is_connect() && !error.is_timeout() {
            FetchFault::Unreachable
        } else if error.is_timeout() {
            return if error.is_connect() {
                let limit = self.limits.connect;
                FetchFailure::new(FetchFault::Unreachable, format!("no connection within {limit:?}"))
            } else {
                timeout(self.limits.total)
            };
        } else {
            FetchFault::CutOff
        };
        FetchFailure::new(kind, causes(&error))
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn get(&self, request: SourceRequest<'_>) -> SourceReply {
        let start = Instant::now();
        let (mut status, mut bytes) = (None, 0);
        let answer = tokio::time::timeout(self.limits.total, self.answer(request, &mut status, &mut bytes)).await;
        let answer = answer.unwrap_or_else(|_| Err(timeout(self.limits.total)));
        SourceReply { status, bytes, latency: start.elapsed(), answer }
    }
}

fn timeout(limit: Duration) -> FetchFailure {
    FetchFailure::new(FetchFault::Timeout, format!("no whole answer within {limit:?}"))
}

/// What is sent to whoever answers.
fn plain_headers() -> Headers {
    Headers::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))])
}

fn headers_of(request: SourceRequest<'_>) -> Headers {
    let mut headers = plain_headers();
    let mut set = |name: HeaderName, text: &Option<String>| {
        if let Some(value) = text.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    };
    set(IF_NONE_MATCH, &request.validators.etag);
    set(IF_MODIFIED_SINCE, &request.validators.last_modified);
    HeaderMap::extend(&mut headers, request.headers.clone());
    headers
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads; never from an encrypted place to one that is not.
fn location(from: &SourceUrl, response: &Response) -> Result<SourceUrl, FetchFailure> {
    let wrong = |why: &str| FetchFailure::new(FetchFault::Redirects, why);
    let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    let place = place.ok_or_else(|| wrong("it redirects to nowhere"))?;
    let to = from.join(place).map_err(|why| wrong(&format!("it redirects to what is no source: {why}")))?;
    if from.is_encrypted() && !to.is_encrypted() {
        return Err(wrong("it redirects from https to http, which is not followed"));
    }
    Ok(to)
}

/// Every status but success is a failure.
fn refuse(response: &Response) -> Result<(), FetchFailure> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let (kind, advice) = match status.as_u16() {
        401 => (FetchFault::Unauthorized, ": is the key set and right?"),
        403 => (FetchFault::Forbidden, ": may the key have this?"),
        429 => (FetchFault::RateLimited, ": it is asked too often"),
        500..=599 => (FetchFault::ServerError, ""),
        _ => (FetchFault::UnexpectedStatus, ""),
    };
    let retry_after = retry_after(response.headers(), SystemTime::now());
    Err(FetchFailure { retry_after, ..FetchFailure::new(kind, format!("it answered {status}{advice}")) })
}

/// The innermost cause says most; the outer ones are reqwest's own words.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => "the answer broke off".to_owned(),
        _ => cause.to_string(),
    }
}
