//! The value types of settings: each reads from text, says what is wrong with it, and prints as it reads.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration such as `250ms`, `15s` or `30days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|e| format!("{e}: write it like 250ms, 15s or 30days"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A number of bytes such as `65536`, `64KiB` or `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
            .into_iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
            .unwrap_or((text, 1_usize));
        digits
            .trim()
            .parse::<usize>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| "write a number of bytes like 65536, 64KiB or 1MiB".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1_usize << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        self.0.fmt(f)
    }
}

/// A rate such as `100/1s`: so many at once, refilled evenly over the period; `off` lifts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// No limit.
    Off,
    /// At most `count` per `per`.
    Limit {
        /// How many.
        count: std::num::NonZeroU32,
        /// In which time.
        per: Duration,
    },
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let read = || {
            let (count, per) = text.split_once('/')?;
            let per = humantime::parse_duration(per).ok().filter(|per| !per.is_zero())?;
            Some(Self::Limit { count: count.parse().ok()?, per })
        };
        read().ok_or_else(|| "write a rate like 100/1s or 600/1m, or off".to_owned())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Limit { count, per } => write!(f, "{count}/{}", humantime::format_duration(*per)),
        }
    }
}

/// A setting that may be left empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T: FromStr> FromStr for Maybe<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// Several values, separated by commas; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr> FromStr for List<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("choose one of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words! {
    /// Which parts of the server this process runs.
    Role {
        /// API and workers.
        All = "all",
        /// The API only.
        Api = "api",
        /// Workers only.
        Worker = "worker",
    }
}

words! {
    /// What happens to requests that can not be checked.
    Failing {
        /// They are let through.
        Open = "open",
        /// They are refused.
        Closed = "closed",
    }
}

words! {
    /// Who may watch streams.
    StreamAccess {
        /// Everybody.
        Public = "public",
        /// Who has a token whose scopes cover the topic.
        Token = "token",
    }
}

words! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// For machines.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_from_text_and_print_as_they_read() {
        assert_eq!("15s".parse(), Ok(Span(Duration::from_secs(15))));
        assert_eq!(Span(Duration::from_millis(250)).to_string(), "250ms");
        assert_eq!("64KiB".parse(), Ok(Bytes(65_536)));
        assert_eq!(Bytes(65_536).to_string(), "64KiB");
        assert_eq!("off".parse(), Ok(Rate::Off));
        assert_eq!("100/1s".parse::<Rate>().map(|r| r.to_string()), Ok("100/1s".to_owned()));
        assert_eq!("a, b,".parse::<List<String>>().map(|l| l.0), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!("".parse::<Maybe<u32>>(), Ok(Maybe(None)));
    }

    #[test]
    fn garbage_is_refused_with_advice() {
        for bad in ["", "0/1s", "5", "5/0s", "-1/1s", "x/1s"] {
            assert!(bad.parse::<Rate>().is_err_and(|e| e.contains("100/1s")), "{bad:?}");
        }
        assert!("12 parsecs".parse::<Span>().is_err());
        assert!("lots".parse::<Bytes>().is_err());
        assert_eq!("boss".parse::<Role>(), Err("choose one of: all, api, worker".to_owned()));
    }
}
