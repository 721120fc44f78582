//! Patterns of topic names, as scopes hold them: `*` stands for any text, at any place.

use std::fmt;
use std::str::FromStr;

use scorewire_core::domain::TopicName;

/// The longest pattern, in bytes; a topic's name is no longer.
const LONGEST: usize = 128;

/// Which topics: `scores`, `match:*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern(String);

impl TopicPattern {
    /// Every topic.
    #[must_use]
    pub fn all() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a topic is among those.
    #[must_use]
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.fits(topic.as_str())
    }

    /// Whether every topic of another pattern is among those.
    ///
    /// No name has a `*`, so the other's are fitted by nothing but ours: what fits it as text fits whatever its stars
    /// stand for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.fits(&other.0)
    }

    fn fits(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The leftmost place leaves the most for what follows.
        for part in middle.split('*') {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last)
    }
}

impl FromStr for TopicPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-*".contains(&b));
        if plain && (1..=LONGEST).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "a topic pattern is 1 to {LONGEST} letters, digits and . _ : - with * for any text, like scores or match:*"
        ))
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let fits = |text: &str, topic: &str| pattern(text).matches(&TopicName::stored(topic));
        for (text, topic) in [
            ("scores", "scores"),
            ("*", "scores"),
            ("match:*", "match:7"),
            ("match:*", "match:"),
            ("*:7", "match:7"),
            ("m*:*7", "match:17"),
            ("a*a", "aba"),
            ("a**b", "ab"),
            ("*ab*ab*", "abab"),
        ] {
            assert!(fits(text, topic), "{text} {topic}");
        }
        for (text, topic) in [
            ("scores", "scores:weekly"),
            ("scores", "score"),
            ("match:*", "match"),
            ("match:*", "a:match:7"),
            ("*:7", "match:77"),
            ("a*a", "a"),
            ("*ab*ab*", "ab"),
        ] {
            assert!(!fits(text, topic), "{text} {topic}");
        }
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow) in [("*", "*"), ("*", "match:*"), ("match:*", "match:7"), ("match:*", "match:1*")] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [("match:*", "*"), ("scores", "*"), ("match:*", "m*"), ("match:7", "match:*")] {
            assert!(!pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
    }

    #[test]
    fn what_names_no_topic_is_refused() {
        for bad in ["", "a b", "a/b", "é", "a\n", "a?", &"a".repeat(129)] {
            assert!(bad.parse::<TopicPattern>().is_err_and(|e| e.contains("match:*")), "{bad:?}");
        }
    }

    /// The definition, without a thought for time.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| plainly(rest, &text[taken..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && plainly(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_as_defined(wide in "[ab*]{1,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(pattern(&wide).fits(&text), plainly(wide.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn who_covers_a_pattern_fits_all_of_its_topics(wide in "[ab*]{1,5}", narrow in "[ab*]{1,5}", text in "[ab]{0,6}") {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            prop_assert!(!wide.covers(&narrow) || !narrow.fits(&text) || wide.fits(&text));
        }
    }
}
