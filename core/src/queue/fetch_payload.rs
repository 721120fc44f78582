//! What a fetch job carries: versioned JSON, under the same rule as a score job's.

use serde::{Deserialize, Serialize};

use super::payload::{self, PayloadError};
use crate::domain::{FeedName, Micros, RequestId};

/// The version this build writes, and the newest it reads.
const VERSION: u32 = 1;

/// The payload of a fetch job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchPayload {
    v: u32,
    /// The feed to fetch.
    pub feed: FeedName,
    /// Skipped when its turn comes later than this: the next tick is fresher. `None`: fetched however late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Micros>,
    /// The request that asked for it, if it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
}

impl FetchPayload {
    /// A payload of this version.
    #[must_use]
    pub const fn new(feed: FeedName, not_after: Option<Micros>, request: Option<RequestId>) -> Self {
        Self { v: VERSION, feed, not_after, request }
    }

    /// The payload as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Plain structs of strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_else(|e| unreachable!("a payload serialises: {e}"))
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError::Newer`] whatever else it holds: a newer version may have another shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        payload::decode(bytes, VERSION, |payload: &Self| payload.v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> FeedName {
        FeedName::parse("btc-usd").expect("a name")
    }

    #[test]
    fn a_payload_reads_back_what_it_wrote() {
        let scheduled = FetchPayload::new(feed(), Some(Micros(1_700_000_000_000_000)), None);
        assert_eq!(scheduled.encode(), br#"{"v":1,"feed":"btc-usd","not_after":1700000000000000}"#);
        let asked_for = FetchPayload::new(feed(), None, Some(RequestId::new("r1")));
        assert_eq!(asked_for.encode(), br#"{"v":1,"feed":"btc-usd","request":"r1"}"#);
        for payload in [scheduled, asked_for] {
            assert_eq!(FetchPayload::decode(&payload.encode()).expect("readable"), payload);
        }
    }

    #[test]
    fn a_field_of_another_release_is_no_obstacle() {
        let read = FetchPayload::decode(br#"{"v":1,"feed":"btc-usd","unknown":[]}"#).expect("readable");
        assert_eq!(read, FetchPayload::new(feed(), None, None));
    }

    #[test]
    fn a_newer_version_is_told_from_garbage() {
        for newer in [&br#"{"v":2,"shape":"unknown"}"#[..], br#"{"v":2,"feed":"btc-usd"}"#] {
            assert!(matches!(FetchPayload::decode(newer), Err(PayloadError::Newer(2))));
        }
        for garbage in [&b""[..], b"nonsense", b"{}", br#"{"v":1}"#, br#"{"v":1,"feed":"No Name"}"#] {
            assert!(matches!(FetchPayload::decode(garbage), Err(PayloadError::Unreadable(_))));
        }
    }
}
