//! What a token permits: the words of its `scope` claim.

use std::fmt;
use std::str::FromStr;

use super::pattern::TopicPattern;

/// What a word before a topic pattern says: these topics may be watched.
const STREAM: &str = "stream:";

/// A permission without a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Change one's own score: the user whose id is the token's subject.
    OwnScores,
    /// Change any score.
    AnyScores,
    /// Create and list users.
    Users,
    /// Have feeds fetched.
    Feeds,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::OwnScores, Self::AnyScores, Self::Users, Self::Feeds, Self::Admin];

    /// The scope's word in the `scope` claim.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OwnScores => "scores:write",
            Self::AnyScores => "scores:write:any",
            Self::Users => "users:write",
            Self::Feeds => "feeds:write",
            Self::Admin => "admin",
        }
    }
}

/// One word of the `scope` claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A permission without a parameter.
    Scope(Scope),
    /// Watch the topics of a pattern.
    Watch(TopicPattern),
}

impl From<Scope> for Grant {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if let Some(pattern) = word.strip_prefix(STREAM) {
            return pattern.parse().map(Self::Watch);
        }
        let scope = Scope::ALL.into_iter().find(|scope| scope.word() == word);
        scope.map(Self::Scope).ok_or_else(|| {
            let words = Scope::ALL.map(Scope::word).join(", ");
            format!("choose from: {words}, {STREAM}<topic or pattern like match:*>")
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => f.write_str(scope.word()),
            Self::Watch(pattern) => write!(f, "{STREAM}{pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_print_as_they_read() {
        for word in ["scores:write", "scores:write:any", "users:write", "admin", "stream:*", "stream:match:*"] {
            assert_eq!(word.parse::<Grant>().map(|grant| grant.to_string()).as_deref(), Ok(word));
        }
    }

    #[test]
    fn a_word_that_is_none_is_told_which_there_are() {
        for bad in ["boss", "", "Admin", "stream", "streams:a"] {
            let said = bad.parse::<Grant>().expect_err("no scope");
            assert!(said.contains("users:write") && said.contains("stream:<topic"), "{bad}: {said}");
        }
        assert!("stream:".parse::<Grant>().is_err_and(|said| said.contains("topic pattern")));
    }
}
