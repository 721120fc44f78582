//! A feed: a source that is polled once for everybody, and what its viewers are sent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::strict_json;

/// Why a text is no feed's name, or a value can not be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// A name that is empty, too long or has other characters.
    #[error("a feed's name is 1 to 64 of the characters a to z, 0 to 9 and -")]
    Name,
    /// Text that no viewer could read.
    #[error("a feed's value is one line of JSON, and this is not: {0}")]
    Value(String),
}

/// The name of a feed: `[a-z0-9-]{1,64}`, as it stands in URLs, keys and metric labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedName(String);

impl FeedName {
    /// # Errors
    /// [`FeedError::Name`] unless the text is `[a-z0-9-]{1,64}`.
    pub fn parse(text: impl Into<String>) -> Result<Self, FeedError> {
        let text = text.into();
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if plain && (1..=64).contains(&text.len()) { Ok(Self(text)) } else { Err(FeedError::Name) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FeedName {
    type Err = FeedError;

    fn from_str(text: &str) -> Result<Self, FeedError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for FeedName {
    type Error = FeedError;

    fn try_from(text: String) -> Result<Self, FeedError> {
        Self::parse(text)
    }
}

impl From<FeedName> for String {
    fn from(name: FeedName) -> Self {
        name.0
    }
}

/// What a fetch gave: one line of JSON, and when it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedValue {
    timestamp: i64,
    data: String,
}

impl FeedValue {
    /// A value of the Unix second in which it was fetched.
    ///
    /// # Errors
    /// [`FeedError::Value`] when the data is not strict JSON on one line.
    pub fn parse(timestamp: i64, data: impl Into<String>) -> Result<Self, FeedError> {
        let data = data.into();
        if data.contains(['\n', '\r']) {
            return Err(FeedError::Value("it has several lines".to_owned()));
        }
        strict_json(data.as_bytes()).map_err(FeedError::Value)?;
        Ok(Self { timestamp, data })
    }

    /// The Unix second of the fetch.
    #[must_use]
    pub const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// One line of JSON.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }
}

/// What viewers are sent: `{"timestamp":1683240226,"data":{…}}`.
impl fmt::Display for FeedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sent(self.timestamp, &self.data))
    }
}

/// The text that viewers are sent; the data is one line of JSON.
pub(super) fn sent(timestamp: i64, data: &str) -> String {
    format!(r#"{{"timestamp":{timestamp},"data":{data}}}"#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["match", "btc-usd", "7", &"x".repeat(64)] {
            assert_eq!(FeedName::parse(good).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "BTC", "a_b", "a b", "a/b", "é", "a:b", &"x".repeat(65)] {
            assert_eq!(FeedName::parse(bad), Err(FeedError::Name), "{bad}");
        }
    }

    #[test]
    fn viewers_are_sent_timestamp_and_data() {
        let value = FeedValue::parse(1_683_240_226, r#"{"name":"janet weaver"}"#).expect("JSON");
        assert_eq!(value.to_string(), r#"{"timestamp":1683240226,"data":{"name":"janet weaver"}}"#);
        assert_eq!((value.timestamp(), value.data()), (1_683_240_226, r#"{"name":"janet weaver"}"#));
    }

    #[test]
    fn what_viewers_could_not_read_is_no_value() {
        for bad in ["", "NaN", "{", "1 2", "{1:2}", "{\n}", "1\r", &"[".repeat(1_000)] {
            assert!(matches!(FeedValue::parse(0, bad), Err(FeedError::Value(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_viewers_are_sent_is_always_one_line_of_json(timestamp: i64, data in "\\PC*|[0-9.e]*|\\{\"[a-z\"]*\":[0-9]*\\}") {
            if let Ok(value) = FeedValue::parse(timestamp, data) {
                let sent = value.to_string();
                prop_assert!(!sent.contains('\n'));
                prop_assert!(strict_json(sent.as_bytes()).is_ok(), "{}", sent);
            }
        }
    }
}
