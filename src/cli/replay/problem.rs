//! What can go wrong between the replay and the server, in the reader's words.

use std::fmt;

use reqwest::Response;
use serde::Deserialize;

/// Why a request, and with it the run, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("`{target}` is not the address of a server: {cause}")]
    Target { target: String, cause: <reqwest::Url as std::str::FromStr>::Err },
    #[error("`{target}` must start with http:// because the replay speaks plain HTTP only")]
    Scheme { target: String },
    #[error("the token holds characters that no token has; was it copied whole?")]
    Token,
    #[error("cannot send requests: {0}")]
    Setup(reqwest::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{doing}: the server answered {status}, as a Scorewire server does not; is --target right?")]
    Unexpected { doing: String, status: u16 },
    #[error("{doing}: the server stayed busy for ten minutes and last asked to wait {wait_s} s more")]
    Busy { doing: String, wait_s: u64 },
    #[error("{doing}: no success within a minute of trying at {target}; the last failure was: {fault}")]
    Unreachable { doing: String, target: String, fault: String },
}

/// The server's "no", from its problem document.
#[derive(Debug)]
pub(crate) struct Refusal {
    doing: String,
    status: u16,
    problem: Option<Problem>,
}

/// The members of an RFC 9457 problem document that a reader needs.
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

impl Refusal {
    /// Reads the document; an answer without one is a refusal all the same.
    pub(crate) async fn read(doing: String, answer: Response) -> Self {
        let status = answer.status().as_u16();
        Self { doing, status, problem: answer.json().await.ok() }
    }

    /// What the reader can do about it.
    fn advice(&self) -> Option<&'static str> {
        match self.status {
            401 => Some("give a valid token with --token or SCOREWIRE_TOKEN"),
            403 => Some("the token needs the scopes scores:write:any and users:write"),
            409 => Some("another user of the board has this id; replay onto a board without that user"),
            422 => Some("if the points table or the file changed since the first run, choose another --run-id"),
            300..=399 => Some("give --target as the server itself, without a redirect"),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: refused with status {}", self.doing, self.status)?;
        match &self.problem {
            Some(Problem { title, detail: Some(detail) }) => write!(f, ", \"{title}\": {detail}")?,
            Some(Problem { title, detail: None }) => write!(f, ", \"{title}\"")?,
            None => f.write_str(", without saying why")?,
        }
        self.advice().map_or(Ok(()), |advice| write!(f, " ({advice})"))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, problem: &str) -> String {
        Refusal { doing: "posting update k".to_owned(), status, problem: serde_json::from_str(problem).ok() }
            .to_string()
    }

    #[test]
    fn a_refusal_quotes_title_and_detail() {
        let said =
            refusal(400, r#"{"type":"/problems/bad","title":"Bad request","status":400,"detail":"increment is 0"}"#);
        assert_eq!(said, r#"posting update k: refused with status 400, "Bad request": increment is 0"#);
    }

    #[test]
    fn a_refusal_the_reader_can_mend_says_how() {
        let said = refusal(403, r#"{"title":"Forbidden"}"#);
        assert!(
            said.ends_with(r#""Forbidden" (the token needs the scopes scores:write:any and users:write)"#),
            "{said}"
        );
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_still_a_refusal() {
        assert_eq!(refusal(404, "<html>"), "posting update k: refused with status 404, without saying why");
    }
}
