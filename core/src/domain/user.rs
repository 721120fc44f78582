//! Users: who holds a score, under which name the boards show it.

use super::{Micros, UserId};

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("a name has at least one visible character")]
    Empty,
    /// Over 100 characters.
    #[error("a name has at most 100 characters")]
    TooLong,
    /// Control characters: line breaks among them, and those that turn the direction of what follows.
    #[error("a name has no control characters")]
    Control,
}

/// Characters that would let a name rewrite what stands beside it.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that show nothing by themselves; inside emoji and some scripts they are needed.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// A display name: 1 to 100 characters, no control characters, no white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    /// Trims and checks a name.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.trim();
        if name.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
            Err(NameError::Empty)
        } else if name.chars().count() > 100 {
            Err(NameError::TooLong)
        } else if name.chars().any(is_control) {
            Err(NameError::Control)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// A name that was checked when it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id, never reused.
    pub id: UserId,
    /// The name shown on boards.
    pub name: UserName,
    /// When it was created.
    pub created_at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_checked() {
        assert_eq!(UserName::parse("  Zoë 李 ").map(|n| n.as_str().to_owned()), Ok("Zoë 李".to_owned()));
        assert_eq!(UserName::parse(" \t "), Err(NameError::Empty));
        assert_eq!(UserName::parse("\u{200b}\u{feff}"), Err(NameError::Empty));
        assert_eq!(UserName::parse("a\nb"), Err(NameError::Control));
        assert_eq!(UserName::parse("a\u{202e}b"), Err(NameError::Control));
        assert!(UserName::parse("👩\u{200d}🚀").is_ok());
        assert_eq!(UserName::parse(&"é".repeat(101)), Err(NameError::TooLong));
        assert!(UserName::parse(&"é".repeat(100)).is_ok());
    }
}
