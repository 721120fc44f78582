//! Faults of imitated services, switched while they run.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $fault:ident = $word:literal,)+) => {
        /// How a service misbehaves.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) enum Fault {
            /// Not at all.
            #[default]
            None,
            $($(#[doc = $doc])+ $fault,)+
        }

        impl Fault {
            const ALL: &'static [(Self, &'static str)] = &[(Self::None, "none"), $((Self::$fault, $word),)+];
        }
    };
}

faults! {
    /// The head at once, then a byte of the body a second.
    Slow = "slow",
    /// No key is good enough.
    Unauthorized = "401",
    /// The key may not have this.
    Forbidden = "403",
    /// Too many requests, with a wish for when to come back.
    RateLimited = "429",
    /// The service is broken.
    ServerError = "500",
    /// The connection ends in the middle of the body.
    Cut = "cut",
    /// A page for people.
    Garbage = "garbage",
    /// 10 GB, plain, made as they are read.
    Huge = "huge",
    /// 10 GB packed into 10 MB.
    HugeGzip = "huge-gzip",
    /// A redirect to itself.
    RedirectLoop = "redirect-loop",
    /// Good JSON in which everything has another place.
    OtherShape = "other-shape",
    /// An error under the status 200.
    HiddenError = "hidden-error",
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, word)| *word == text);
        known.map(|(fault, _)| *fault).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|(_, word)| *word).collect();
            format!("choose one of: {}", words.join(", "))
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(fault, _)| fault == self).map_or("none", |(_, word)| word);
        f.write_str(word)
    }
}

/// A switch with one position for each fault.
#[derive(Debug, Default)]
pub(super) struct Switch(Mutex<Fault>);

impl Switch {
    pub(super) fn get(&self) -> Fault {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// A fault and whose it is, as `reqres=slow`.
#[derive(Clone, Debug)]
pub(super) struct FaultOf {
    pub(super) service: String,
    pub(super) fault: Fault,
}

impl FromStr for FaultOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, fault) = text.split_once('=').ok_or("write it like reqres=slow")?;
        Ok(Self { service: service.to_owned(), fault: fault.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_print() {
        for (fault, word) in Fault::ALL {
            assert_eq!((word.parse(), fault.to_string().as_str()), (Ok(*fault), *word));
        }
        assert!("sulky".parse::<Fault>().is_err_and(|said| said.contains("redirect-loop")));
    }
}
