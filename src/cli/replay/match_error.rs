//! Why a match file could not be used, said so that its place can be found.

use std::fmt;
use std::path::PathBuf;

use serde_path_to_error::{Path as FieldPath, Segment};

/// Why a match file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MatchFileError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("the match file is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the match file is JSON, but not an array of events")]
    NotAnArray,
    #[error("the match file holds no events")]
    Empty,
    #[error("the match file's event at position {position} (the first is 0){field}: {reason}")]
    Malformed { position: usize, field: FieldName, reason: String },
}

/// The field within an event that is wrong, such as `shot.outcome.name`; empty when it is the event as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldName(String);

impl FieldName {
    /// The path without its first step, which is the event's position; names joined by dots.
    fn below_the_event(path: &FieldPath) -> Self {
        Self(path.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>().join("."))
    }
}

impl From<&str> for FieldName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", field `{}`", self.0) }
    }
}

impl MatchFileError {
    /// Turns the parser's error into the place and the reason that a reader can look up.
    pub(crate) fn located(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let position = match error.path().iter().next() {
            _ if !error.inner().is_data() => None,
            Some(Segment::Seq { index }) => Some(*index),
            _ => return Self::NotAnArray,
        };
        let field = FieldName::below_the_event(error.path());
        let inner = error.into_inner();
        match position {
            Some(position) => Self::Malformed { position, field, reason: inner.to_string() },
            None => Self::NotJson(inner),
        }
    }
}
