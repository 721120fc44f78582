//! How a feed is: whether its value can be relied on, and whether its source may be asked.

use std::time::Duration;

use crate::domain::{BreakerPolicy, Micros};
use crate::ports::StoredFeed;
use crate::settings::Feed;

/// How a feed is at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedStatus {
    /// The last fetch failed, the last good one is too long ago, or the value stood still for too long.
    pub stale: bool,
    /// Since the last fetch that brought a value or found it unchanged.
    pub age: Option<Duration>,
    /// Until when the source is left alone.
    pub rests_until: Option<Micros>,
}

impl FeedStatus {
    /// Of what is stored of a feed.
    #[must_use]
    pub fn of(feed: &Feed, stored: &StoredFeed, policy: &BreakerPolicy, now: Micros) -> Self {
        let note = &stored.note;
        let age = note.checked_at.map(|at| now.since(at));
        let stood_still = stored.latest.as_ref().map(|latest| now.since(latest.at));
        let over = |time: Option<Duration>, most: Option<Duration>| matches!((time, most), (Some(time), Some(most)) if time > most);
        let stale =
            note.failure.is_some() || over(age, Some(feed.stale_after)) || over(stood_still, feed.max_unchanged);
        Self { stale, age, rests_until: note.breaker.clone().ask(now, policy).err() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Epoch, Event, Message, Position};
    use crate::ports::{FeedNote, NotedFailure};
    use crate::settings::{Overrides, Settings, SettingsFile};

    const SECOND: i64 = 1_000_000;

    fn feed(more: &str) -> (Feed, BreakerPolicy) {
        let text = format!("[[feeds]]\nname = \"a\"\nurl = \"http://localhost/\"\nfetch_every = \"5s\"\n{more}");
        let file = SettingsFile::parse(&text, Path::new("scorewire.toml")).expect("a file");
        let settings = Settings::resolve(Overrides::default(), &file).expect("settings");
        let feed = Feed::all(&settings, &file, &|_| None).expect("a feed").remove(0);
        let policy = feed.patience(&settings);
        (feed, policy)
    }

    fn stored(checked_at: i64, changed_at: i64, failed: bool) -> StoredFeed {
        let message = |at| Message { offset: 1, at: Micros(at), event: Event::Value, data: "{}".into() };
        let failure =
            NotedFailure { reason: "timeout".to_owned(), message: String::new(), at: Micros(checked_at), in_row: 1 };
        StoredFeed {
            position: Position { epoch: Epoch::parse("e").expect("valid"), offset: 1 },
            latest: Some(Arc::new(message(changed_at * SECOND))),
            note: FeedNote {
                checked_at: Some(Micros(checked_at * SECOND)),
                failure: failed.then_some(failure),
                ..FeedNote::default()
            },
        }
    }

    fn stale(more: &str, stored: &StoredFeed, now: i64) -> bool {
        let (feed, policy) = feed(more);
        FeedStatus::of(&feed, stored, &policy, Micros(now * SECOND)).stale
    }

    #[test]
    fn a_value_is_stale_after_a_failure_or_without_confirmation() {
        assert!(!stale("", &stored(100, 0, false), 110), "two intervals may pass, however old the value");
        assert!(stale("", &stored(100, 100, false), 111));
        assert!(stale("", &stored(100, 100, true), 100));
        assert!(!stale("stale_after = \"1m\"", &stored(100, 100, false), 160));
    }

    #[test]
    fn a_value_that_stands_still_is_stale_where_it_should_move() {
        assert!(!stale("max_unchanged = \"1m\"", &stored(160, 100, false), 160));
        assert!(stale("max_unchanged = \"1m\"", &stored(161, 100, false), 161));
    }
}
