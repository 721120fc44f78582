//! What a score job carries: versioned JSON. A worker that meets a newer version delays the job, never kills it.

use apalis_core::backend::codec::Codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::ScoreUpdate;

/// The version this build writes, and the newest it reads.
const VERSION: u32 = 1;

/// A job's bytes as apalis hands them over, not yet decoded: a payload that can not be read must not end the
/// worker, so decoding belongs to the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPayload(pub Vec<u8>);

/// Hands bytes through.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawCodec;

impl Codec<RawPayload> for RawCodec {
    type Error = std::convert::Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, payload: &RawPayload) -> Result<Vec<u8>, Self::Error> {
        Ok(payload.0.clone())
    }

    fn decode(&self, bytes: &Vec<u8>) -> Result<RawPayload, Self::Error> {
        Ok(RawPayload(bytes.clone()))
    }
}

/// The payload of a score job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPayload {
    v: u32,
    /// The updates, in the order they were accepted.
    pub updates: Vec<ScoreUpdate>,
}

/// Why a payload can not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Written by a newer version: it can wait for a newer worker.
    #[error("the job has payload version {0}, newer than this worker reads: upgrade the workers")]
    Newer(u32),
    /// Not a payload.
    #[error("the job's payload can not be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl JobPayload {
    /// A payload of this version.
    #[must_use]
    pub fn new(updates: Vec<ScoreUpdate>) -> Self {
        Self { v: VERSION, updates }
    }

    /// The payload as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Plain structs of strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_else(|e| unreachable!("a payload serialises: {e}"))
    }

    /// The payload that carries one update, given as JSON.
    pub(super) fn wrap(update: &[u8]) -> Vec<u8> {
        [format!("{{\"v\":{VERSION},\"updates\":[").as_bytes(), update, b"]}"].concat()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError::Newer`] whatever else it holds: a newer version may have another shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        decode(bytes, VERSION, |payload: &Self| payload.v)
    }
}

/// Reads a payload of a version up to `newest`.
pub(super) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    newest: u32,
    version: impl Fn(&T) -> u32,
) -> Result<T, PayloadError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let read = serde_json::from_slice::<T>(bytes);
    let v = match &read {
        Ok(payload) => version(payload),
        // Only what can not be read is looked at twice.
        Err(_) => serde_json::from_slice::<Version>(bytes)?.v,
    };
    if v > newest { Err(PayloadError::Newer(v)) } else { Ok(read?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BoardId, Micros, Operator, ReplyTo, RequestId, Subject, UpdateId, UserId};

    #[test]
    fn a_payload_reads_back_what_it_wrote() {
        let payload = JobPayload::new(vec![ScoreUpdate {
            id: UpdateId::new("01J.0"),
            board: BoardId::main(),
            user: UserId::parse(7).expect("valid"),
            operator: Operator::Increment(-3),
            accepted_at: Micros(5),
            submitter: Subject::new("dev"),
            request: RequestId::new("r1"),
            reply_to: Some(ReplyTo::new("ab12", 7)),
            attempt: 1,
        }]);
        assert_eq!(JobPayload::decode(&payload.encode()).expect("readable"), payload);
    }

    #[test]
    fn nobody_waiting_leaves_no_trace_and_a_field_of_another_release_is_no_obstacle() {
        let bytes = br#"{"v":1,"updates":[{"id":"01J.0","board":"main","user":7,"op":"increment","amount":-3,"accepted_at":5,"submitter":"dev","request":"r1"}]}"#;
        let payload = JobPayload::decode(bytes).expect("readable");
        assert_eq!(payload.updates[0].reply_to, None);
        assert_eq!(payload.encode(), bytes);
        let text = String::from_utf8_lossy(bytes).replace(r#""request""#, r#""unknown":1,"request""#);
        assert_eq!(JobPayload::decode(text.as_bytes()).expect("readable"), payload);
    }

    #[test]
    fn a_newer_version_is_told_from_garbage() {
        assert!(matches!(JobPayload::decode(br#"{"v":2,"shape":"unknown"}"#), Err(PayloadError::Newer(2))));
        for garbage in [&b""[..], b"nonsense", b"{}", br#"{"v":1}"#, br#"{"v":1,"updates":[{}]}"#] {
            assert!(matches!(JobPayload::decode(garbage), Err(PayloadError::Unreadable(_))));
        }
    }
}
