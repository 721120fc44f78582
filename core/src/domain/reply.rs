//! Where a request waits to hear that its update was decided.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ticket of a waiting request, `<process>/<number>`: it travels with the update, so that whoever decides can
/// answer the process that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplyTo(String);

impl ReplyTo {
    /// The ticket of this number in a process, whose name has no `/` in it.
    #[must_use]
    pub fn new(process: &str, number: u64) -> Self {
        Self(format!("{process}/{number}"))
    }

    /// The process that waits, and the ticket's number there; `None` for a text that is no ticket.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, u64)> {
        let (process, number) = self.0.split_once('/')?;
        Some((process, number.parse().ok()?))
    }
}

impl fmt::Display for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_names_its_process_and_number() {
        assert_eq!(ReplyTo::new("ab12", 7).parts(), Some(("ab12", 7)));
        for garbage in ["", "ab12", "ab12/", "ab12/x", "ab12/7/7"] {
            assert_eq!(ReplyTo(garbage.to_owned()).parts(), None, "{garbage:?}");
        }
    }
}
