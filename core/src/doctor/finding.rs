//! What a check found.

use std::fmt;

use serde::Serialize;

/// How bad it is, from harmless to not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Safe.
    Ok,
    /// Nothing is lost by it alone, or only in a case named beside it: worth a thought.
    Risk,
    /// What was accepted can be lost or falsified.
    Danger,
    /// It could not be asked.
    Unknown,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Risk => "risk",
            Self::Danger => "danger",
            Self::Unknown => "unknown",
        })
    }
}

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `redis appendonly`.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is set. Never a secret.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What to set instead; `None` when nothing needs to change.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), why: why.into(), advice: None }
    }

    pub(super) fn risk(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { check, level: Level::Risk, found: found.into(), why: why.into(), advice }
    }

    pub(super) fn danger(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Danger, ..Self::risk(check, found, why, advice) }
    }

    pub(super) fn unknown(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Unknown, ..Self::risk(check, found, why, advice) }
    }
}

/// `danger   redis appendonly: no. Why it matters. Set: …`, in one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}: {}. {}", self.level, self.check, self.found, self.why)?;
        match &self.advice {
            Some(advice) => write!(f, " What to do: {advice}"),
            None => Ok(()),
        }
    }
}

/// The worst level among findings; [`Level::Ok`] when there are none.
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_counts_more_than_what_is_known_to_be_bad() {
        let findings = [
            Finding::ok("a", "1", "It is."),
            Finding::unknown("b", "2", "It is.", "ask"),
            Finding::danger("c", "3", "It is.", "change it"),
            Finding::risk("d", "4", "It is.", "think"),
        ];
        assert_eq!(worst(&findings), Level::Unknown);
        assert_eq!(worst(&findings[2..]), Level::Danger);
        assert_eq!(worst(&findings[3..]), Level::Risk);
        assert_eq!(worst(&[]), Level::Ok);
    }

    #[test]
    fn a_finding_is_one_line() {
        let line = Finding::danger("redis appendonly", "no", "A restart forgets the queue.", "appendonly yes");
        assert_eq!(
            line.to_string(),
            "danger   redis appendonly: no. A restart forgets the queue. What to do: appendonly yes"
        );
    }
}
