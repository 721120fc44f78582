//! The one error of every port. Retry decisions read its kind, never its text.

use std::error::Error;
use std::fmt;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The system behind the port is away, busy or full: the same call may succeed later. Never uses up an attempt.
    Unavailable,
    /// It understood and refused: the same call will fail again.
    Rejected,
    /// What it holds can not be read back as what was written.
    Corrupt,
}

/// A failed operation of a port.
#[derive(Debug)]
pub struct PortError {
    /// What was being done, e.g. `apply updates to the ledger`.
    pub operation: &'static str,
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What a person can do about it, where the adapter knows.
    pub advice: Option<&'static str>,
    source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// Wraps the adapter's own error.
    pub fn new(operation: &'static str, kind: FailureKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, kind, advice: None, source: source.into() }
    }

    /// The same error with what a person can do about it.
    #[must_use]
    pub fn with_advice(self, advice: Option<&'static str>) -> Self {
        Self { advice, ..self }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureKind::Unavailable => "unavailable",
            FailureKind::Rejected => "rejected",
            FailureKind::Corrupt => "corrupt data",
        };
        write!(f, "could not {} ({kind}): {}", self.operation, self.source)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
