//! How much is kept of which topic.

use std::collections::HashMap;
use std::sync::Arc;

use super::{RingLimits, TopicName};

/// How a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How much of it.
    pub limits: RingLimits,
    /// Whether its messages stay when the cache that holds them restarts. Places in it are lost all the same, since the
    /// cache may have lost its last writes and give their offsets to other messages. What can be made anew from the
    /// ledger begins anew.
    pub survives: bool,
}

/// How every topic is kept: most alike, some in their own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    most: RingLimits,
    own: HashMap<TopicName, RingLimits>,
}

impl Keeping {
    /// Every topic within the same limits.
    #[must_use]
    pub fn alike(most: RingLimits) -> Self {
        Self { most, own: HashMap::new() }
    }

    /// The same, with limits of its own for one topic.
    #[must_use]
    pub fn with(mut self, topic: TopicName, limits: RingLimits) -> Self {
        self.own.insert(topic, limits);
        self
    }

    /// How a topic is kept. Topics of feeds survive: nobody but their sources knows what was in them.
    #[must_use]
    pub fn of(&self, topic: &TopicName) -> Kept {
        let limits = self.own.get(topic).copied().unwrap_or(self.most);
        Kept { limits, survives: topic.feed().is_some() }
    }
}

impl From<RingLimits> for Arc<Keeping> {
    fn from(most: RingLimits) -> Self {
        Self::new(Keeping::alike(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_kept_in_its_own_way_or_as_most_are() {
        let [most, own] = [10, 3].map(|messages| RingLimits { messages, age_us: 1_000_000 });
        let topic = |name: &str| TopicName::parse(name).expect("a topic");
        let keeping = Keeping::alike(most).with(topic("feed:a"), own);
        assert_eq!(keeping.of(&topic("feed:a")), Kept { limits: own, survives: true });
        assert_eq!(keeping.of(&topic("feed:b")), Kept { limits: most, survives: true });
        assert_eq!(keeping.of(&topic("scores")), Kept { limits: most, survives: false });
    }
}
