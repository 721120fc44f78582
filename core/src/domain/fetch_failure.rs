//! Why a fetch gave no value: a fixed list of kinds, for logs, metrics and decisions about the next try.

use std::fmt;
use std::time::Duration;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $slug:literal, $blame:ident;)+) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FetchFault { $($(#[doc = $doc])+ $kind,)+ }

        impl FetchFault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The kind's stable name in metrics, logs and answers.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)+ }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $(Self::$kind => Blame::$blame,)+ }
            }
        }
    };
}

/// Who has to do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The source, or the way to it: asking less often helps both sides.
    Source,
    /// The feed's own filters: the source is well.
    Filters,
}

kinds! {
    /// 401: the key is missing or wrong.
    Unauthorized = "unauthorized", Source;
    /// 403: the key may not have this.
    Forbidden = "forbidden", Source;
    /// 429: asked too often.
    RateLimited = "rate-limited", Source;
    /// 5xx.
    ServerError = "server-error", Source;
    /// Another status that is no answer, like 404.
    UnexpectedStatus = "unexpected-status", Source;
    /// No connection: name, port or TLS.
    Unreachable = "unreachable", Source;
    /// Connected, but not answered in time.
    Timeout = "timeout", Source;
    /// The answer broke off, or was not as it was encoded.
    CutOff = "cut-off", Source;
    /// More than the largest body, unpacked.
    TooLarge = "too-large", Source;
    /// Redirects in a circle, too many, or to a place that is not trusted.
    Redirects = "redirects", Source;
    /// The answer is not JSON.
    Garbage = "garbage", Source;
    /// The `error` filter found one in an answer that looked well.
    SourceError = "source-error", Source;
    /// A filter ended with an error, or with no or several outputs: often the source changed its shape.
    TransformFailed = "transform-failed", Filters;
    /// The output is larger than allowed, or no JSON.
    TransformOutput = "transform-output", Filters;
    /// The filters took too long and were killed.
    TransformDeadline = "transform-deadline", Filters;
    /// The filters used too much memory or stack, and died of it.
    TransformCrashed = "transform-crashed", Filters;
    /// The feed's filters of an earlier fetch have not ended, or those of too many other feeds.
    TransformBusy = "transform-busy", Filters;
}

/// A fetch that gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// What went wrong.
    pub kind: FetchFault,
    /// What exactly, in words, without secrets.
    pub message: String,
    /// How long the source wishes to be left alone.
    pub retry_after: Option<Duration>,
}

impl FetchFailure {
    /// Longest message, in characters: part of it may come from the source.
    const LONGEST: usize = 300;

    /// A failure whose source has no wish; control characters and what is too long are cut from the message.
    #[must_use]
    pub fn new(kind: FetchFault, message: impl AsRef<str>) -> Self {
        let printable = message.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { kind, message: printable.take(Self::LONGEST).collect(), retry_after: None }
    }
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.slug(), self.message)
    }
}

impl std::error::Error for FetchFailure {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let slugs: HashSet<_> = FetchFault::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), FetchFault::ALL.len());
    }

    #[test]
    fn a_message_is_one_short_line_whatever_the_source_sent() {
        let failure = FetchFailure::new(FetchFault::SourceError, format!("a\n\u{1b}[31m{}", "é".repeat(10_000)));
        assert!(failure.message.starts_with("a  [31mé") && failure.message.chars().count() == 300);
        assert!(!failure.to_string().contains(char::is_control));
    }
}
