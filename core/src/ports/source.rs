//! Sources: where feeds get their values from.

use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::domain::{FetchFailure, SourceUrl};

/// What a source said of an answer's version, to be asked whether it is still the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// Its `ETag`, as it was sent.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as it was sent.
    pub last_modified: Option<String>,
}

/// A request to a source.
#[derive(Clone, Copy, Debug)]
pub struct SourceRequest<'a> {
    /// What to get.
    pub url: &'a SourceUrl,
    /// What to send with it; secret ones are marked sensitive.
    pub headers: &'a HeaderMap,
    /// What is known already.
    pub validators: &'a Validators,
}

/// What came of a request, whether or not it was what was wanted.
#[derive(Debug)]
pub struct SourceReply {
    /// The last status, if there was any.
    pub status: Option<u16>,
    /// Bytes of the body that were read, unpacked.
    pub bytes: u64,
    /// From the request's start to the last byte read.
    pub latency: Duration,
    /// What it said.
    pub answer: Result<SourceAnswer, FetchFailure>,
}

/// A good answer.
#[derive(Debug, PartialEq, Eq)]
pub enum SourceAnswer {
    /// What is known is the newest.
    Unmodified,
    /// A body of whatever form; nothing has looked into it.
    Body {
        /// Unpacked.
        bytes: Vec<u8>,
        /// What to ask with next time.
        validators: Validators,
    },
}

/// Asks sources, once per call.
///
/// Obligations: a call ends within bounded time and takes bounded memory whatever the source sends; a failure is a
/// value of the closed list, and its message holds no secret of the request; nothing is retried; headers never go to
/// another origin than the URL's.
#[async_trait]
pub trait Source: Send + Sync {
    /// Gets a URL.
    async fn get(&self, request: SourceRequest<'_>) -> SourceReply;
}
