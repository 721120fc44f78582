//! Where a message stands in its topic: epoch + offset.

use std::fmt;
use std::str::FromStr;

/// One unbroken life of a topic. A new epoch says that offsets of the old one mean nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(String);

impl Epoch {
    /// Wraps 1 to 32 ASCII letters and digits.
    ///
    /// # Errors
    /// [`PositionError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        if (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PositionError)
        }
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is the id of an event as the stream sent it: <epoch>:<offset>")]
pub struct PositionError;

/// The place right after a message: everything up to and including `offset` has been seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic's current life.
    pub epoch: Epoch,
    /// Counts messages from 1 without holes; 0 is the place before the first.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch.as_str(), self.offset)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once(':').ok_or(PositionError)?;
        // `u64::from_str` would take a leading plus sign.
        if !offset.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PositionError);
        }
        Ok(Self { epoch: Epoch::parse(epoch)?, offset: offset.parse().map_err(|_| PositionError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_what_it_wrote() {
        let position: Position = "k3f9:42".parse().expect("valid");
        assert_eq!(position.offset, 42);
        assert_eq!(position.to_string(), "k3f9:42");
    }

    #[test]
    fn garbage_is_no_position() {
        for bad in ["", ":", "a:", ":1", "a:-1", "a:+1", "a:1:2", "a b:1", "ä:1", "a:99999999999999999999"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad:?}");
        }
    }
}
