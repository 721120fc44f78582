//! What an error of Redis means for the caller.

use ::redis::{ErrorKind, RedisError};

use crate::ports::{FailureKind, PortError};

const OUT_OF_MEMORY: &str = "Redis is out of memory: raise its maxmemory or remove other data from it";
const NOT_PERSISTING: &str = "Redis can not save to its disk and takes no writes until it can: look at its log";
const REFUSED_LOGIN: &str = "Redis refused user or password: check REDIS_URL";
const IS_CLUSTER: &str = "this Redis is part of a cluster: connect with a URL that says so";
const FOREIGN_KEY: &str = "a key of ours holds something else: use another key prefix or database";

/// Redis answered something that none of our scripts answers.
#[derive(Debug, thiserror::Error)]
#[error("Redis holds or answered what is no {0}")]
struct Unreadable(&'static str);

/// The port's error for a reply that can not be read.
pub(crate) fn corrupt(operation: &'static str, expected: &'static str) -> PortError {
    PortError::new(operation, FailureKind::Corrupt, Unreadable(expected))
}

/// The port's error for an error of the client library.
pub(crate) fn port_error(operation: &'static str, error: RedisError) -> PortError {
    let (kind, advice) = classify(error.kind(), error.code());
    PortError::new(operation, kind, error).with_advice(advice)
}

fn classify(kind: ErrorKind, code: Option<&str>) -> (FailureKind, Option<&'static str>) {
    use FailureKind::{Corrupt, Rejected, Unavailable};
    match (kind, code) {
        (ErrorKind::Io, _) => (Unavailable, None),
        // A password may be rotated under our feet: no job is to blame.
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => (Unavailable, Some(REFUSED_LOGIN)),
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => (Corrupt, None),
        (_, Some("OOM")) => (Unavailable, Some(OUT_OF_MEMORY)),
        (_, Some("MISCONF")) => (Unavailable, Some(NOT_PERSISTING)),
        (
            _,
            Some(
                "LOADING" | "READONLY" | "BUSY" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "NOREPLICAS"
                | "UNKILLABLE",
            ),
        ) => (Unavailable, None),
        (_, Some("MOVED" | "ASK" | "CROSSSLOT")) => (Rejected, Some(IS_CLUSTER)),
        (_, Some("WRONGTYPE")) => (Corrupt, Some(FOREIGN_KEY)),
        _ => (Rejected, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redis::ServerErrorKind;

    #[test]
    fn what_may_pass_is_unavailable_and_says_what_to_do() {
        for code in ["LOADING", "READONLY", "BUSY", "CLUSTERDOWN", "MASTERDOWN"] {
            assert_eq!(classify(ErrorKind::Extension, Some(code)), (FailureKind::Unavailable, None), "{code}");
        }
        assert_eq!(classify(ErrorKind::Io, None).0, FailureKind::Unavailable);
        let (kind, advice) = classify(ErrorKind::Extension, Some("OOM"));
        assert_eq!(kind, FailureKind::Unavailable);
        assert!(advice.is_some_and(|text| text.starts_with("Redis is out of memory")));
    }

    #[test]
    fn what_can_not_be_read_is_corrupt_and_the_rest_is_rejected() {
        assert_eq!(classify(ErrorKind::Parse, None).0, FailureKind::Corrupt);
        assert_eq!(classify(ErrorKind::UnexpectedReturnType, None).0, FailureKind::Corrupt);
        assert_eq!(classify(ErrorKind::Extension, Some("WRONGTYPE")).0, FailureKind::Corrupt);
        let error = ErrorKind::Server(ServerErrorKind::ResponseError);
        assert_eq!(classify(error, Some("ERR")), (FailureKind::Rejected, None));
    }
}
