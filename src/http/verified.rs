//! Tokens that were verified before. A client sends the same one again and again, and checking its signature and
//! reading its claims takes longer than most of what its request asks for. What depends on the time is checked with
//! every use.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::auth::Caller;

/// Tokens kept at most. Only valid ones are, so strangers can not fill it.
const TOKENS: usize = 4_096;
/// Longer tokens, in bytes, are verified each time.
const LONGEST: usize = 2_048;

/// When a token is valid: in seconds since the Unix epoch, leeway included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Whom verified tokens name, by the token's text.
#[derive(Default)]
pub(super) struct Verified {
    callers: RwLock<HashMap<String, (Validity, Arc<Caller>)>>,
}

impl Verified {
    /// Whom a token names, if it was verified before and is valid now.
    pub(super) fn find(&self, token: &str, now: u64) -> Option<Arc<Caller>> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let (validity, caller) = callers.get(token)?;
        (validity.from..=validity.until).contains(&now).then(|| Arc::clone(caller))
    }

    /// Remembers a token that was verified now. When there are too many, those that ended go first, then all.
    pub(super) fn remember(&self, token: &str, validity: Validity, caller: &Arc<Caller>, now: u64) {
        if token.len() > LONGEST {
            return;
        }
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= TOKENS {
            callers.retain(|_, (validity, _)| validity.until >= now);
        }
        if callers.len() >= TOKENS {
            callers.clear();
        }
        callers.insert(token.to_owned(), (validity, Arc::clone(caller)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(tokens: impl Iterator<Item = (String, Validity)>, now: u64) -> Verified {
        let verified = Verified::default();
        for (token, validity) in tokens {
            verified.remember(&token, validity, &Arc::new(Caller::nobody()), now);
        }
        verified
    }

    #[test]
    fn a_token_is_found_while_it_is_valid_and_not_outside() {
        let validity = Validity { from: 10, until: 20 };
        let verified = remembered([("a".to_owned(), validity)].into_iter(), 15);
        for (now, found) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(verified.find("a", now).is_some(), found, "at {now}");
        }
        assert!(verified.find("b", 15).is_none());
    }

    #[test]
    fn there_are_never_too_many_and_those_that_ended_go_first() {
        let token = |n: usize| (n.to_string(), Validity { from: 0, until: if n == 0 { 99 } else { 5 } });
        let verified = remembered((0..TOKENS).map(token), 5);
        verified.remember("new", Validity { from: 0, until: 99 }, &Arc::new(Caller::nobody()), 6);
        assert!(verified.find("0", 6).is_some() && verified.find("new", 6).is_some());
        assert_eq!(verified.callers.read().expect("no panic").len(), 2);
        let valid = |n: usize| (n.to_string(), Validity { from: 0, until: 99 });
        let verified = remembered((0..=TOKENS).map(valid), 5);
        assert!(verified.callers.read().expect("no panic").len() <= TOKENS);
        verified.remember(&"x".repeat(LONGEST + 1), Validity { from: 0, until: 99 }, &Arc::new(Caller::nobody()), 5);
        assert!(verified.find(&"x".repeat(LONGEST + 1), 5).is_none());
    }
}
