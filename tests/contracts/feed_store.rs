//! What every store of feeds holds: a value is published whole, outlives its topic's ring, and is there after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use scorewire_core::domain::{Event, FeedName, Message, Micros, TopicName};
use scorewire_core::ports::{FailureKind, FeedNote, FeedStore, Known, NotedFailure, StoredFeed, Topics, Validators};

use super::{at_once, suite};

/// A store with its topics, which keep [`KEPT`] messages of the feed `short` and plenty of any other.
#[async_trait]
pub(super) trait Feeds: Send + Sync {
    fn store(&self) -> &dyn FeedStore;
    fn topics(&self) -> &dyn Topics;
    /// The same as the next process finds it; this one is used no more.
    async fn next_process(&self) -> Arc<dyn Feeds>;
    /// Prepares every statement of the adapter on its engine.
    async fn prepare_all(&self) -> Result<(), String>;
}

/// Messages kept of the feed `short`.
pub(super) const KEPT: usize = 3;

suite! {
    adapters {
        sqlite: crate::contracts::feed_adapters::sqlite_feeds,
        redis: crate::contracts::feed_adapters::redis_feeds,
    }
    rules {
        a_feed_that_nobody_fetched_is_empty,
        a_value_is_published_with_the_second_of_its_message,
        a_note_alone_sends_nothing_and_reads_back_whole,
        the_newest_value_outlives_the_ring,
        what_is_no_value_is_refused_and_changes_nothing,
        feeds_do_not_mix,
        of_many_at_once_all_are_published_once,
        the_next_process_finds_values_notes_and_rings,
        every_statement_can_be_prepared,
    }
}

fn name(text: &str) -> FeedName {
    FeedName::parse(text).expect("a name")
}

fn note(n: i64) -> FeedNote {
    let mut note = FeedNote { checked_at: Some(Micros(n)), ..FeedNote::default() };
    note.known = Some(Known {
        definition: "d".to_owned(),
        validators: Validators { etag: Some("\"quoted\\\"".to_owned()), last_modified: None },
        dedupe: Some("李\u{1f600}".to_owned()),
    });
    note.failure = Some(NotedFailure {
        reason: "timeout".to_owned(),
        message: "it's \"late\"\u{7}".to_owned(),
        at: Micros(n),
        in_row: 7,
    });
    note
}

async fn load(feeds: &dyn Feeds, feed: &str) -> StoredFeed {
    feeds.store().load(&name(feed)).await.expect("stored")
}

async fn publish(feeds: &dyn Feeds, feed: &str, n: i64) -> StoredFeed {
    feeds.store().publish(&name(feed), &format!("{{\"n\":{n}}}"), &note(n)).await.expect("published")
}

/// Everything the ring holds.
async fn ring(feeds: &dyn Feeds, feed: &str) -> Vec<Arc<Message>> {
    let topic = TopicName::of_feed(&name(feed));
    let since = feeds.topics().since(&topic, 0).await.expect("a place");
    feeds.topics().after(&topic, &since.position, 1_000).await.expect("readable").expect("kept")
}

async fn a_feed_that_nobody_fetched_is_empty(feeds: &dyn Feeds) {
    let empty = load(feeds, "a").await;
    assert_eq!((empty.latest, empty.note, empty.position.offset), (None, FeedNote::default(), 0));
    assert_eq!(empty.position, feeds.topics().position(&TopicName::of_feed(&name("a"))).await.expect("a place"));
}

async fn a_value_is_published_with_the_second_of_its_message(feeds: &dyn Feeds) {
    let mut announced = feeds.topics().announcements();
    let topic = TopicName::of_feed(&name("a"));
    feeds.topics().position(&topic).await.expect("followed");
    let published = publish(feeds, "a", 1).await;
    let latest = published.latest.clone().expect("a message");
    assert_eq!(*latest.data, format!("{{\"timestamp\":{},\"data\":{{\"n\":1}}}}", latest.at.unix_seconds()));
    assert_eq!((latest.offset, published.position.offset, &latest.event), (1, 1, &Event::Value));
    assert_eq!(load(feeds, "a").await, published);
    assert_eq!(ring(feeds, "a").await, [Arc::clone(&latest)]);
    let heard = crate::support::within("the announcement", announced.recv()).await.expect("heard");
    assert_eq!((heard.topic, &heard.messages[..]), (topic, &[latest][..]));
}

async fn a_note_alone_sends_nothing_and_reads_back_whole(feeds: &dyn Feeds) {
    let mut announced = feeds.topics().announcements();
    let first = publish(feeds, "a", 1).await;
    feeds.store().note(&name("a"), &note(2)).await.expect("noted");
    assert_eq!(load(feeds, "a").await, StoredFeed { note: note(2), ..first.clone() });
    feeds.store().note(&name("new"), &note(3)).await.expect("noted");
    let new = load(feeds, "new").await;
    assert_eq!((new.latest, new.note, new.position.offset), (None, note(3), 0));
    let second = publish(feeds, "a", 4).await;
    // Announcements come in order: what the notes had sent would stand between the values.
    let mut heard = Vec::new();
    while heard.last() != second.latest.as_ref() {
        let next = crate::support::within("an announcement", announced.recv()).await.expect("heard");
        heard.extend(next.messages.iter().cloned());
    }
    assert_eq!(heard, [first.latest, second.latest].map(|latest| latest.expect("a message")));
}

async fn the_newest_value_outlives_the_ring(feeds: &dyn Feeds) {
    for n in 1..=10 {
        publish(feeds, "short", n).await;
    }
    let offsets: Vec<_> = ring(feeds, "short").await.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, [8, 9, 10], "{KEPT} are kept");
    assert_eq!(load(feeds, "short").await.latest.expect("a value").offset, 10);
}

async fn what_is_no_value_is_refused_and_changes_nothing(feeds: &dyn Feeds) {
    let published = publish(feeds, "a", 1).await;
    for bad in ["", "{", "NaN", "1\n", "1 2"] {
        let refused = feeds.store().publish(&name("a"), bad, &note(2)).await.expect_err("refused");
        assert_eq!(refused.kind, FailureKind::Rejected, "{bad:?}");
    }
    assert_eq!(load(feeds, "a").await, published);
}

async fn feeds_do_not_mix(feeds: &dyn Feeds) {
    let (a, b) = (publish(feeds, "a", 1).await, publish(feeds, "a-b", 2).await);
    assert_eq!((load(feeds, "a").await, load(feeds, "a-b").await), (a, b));
    assert_eq!((ring(feeds, "a").await.len(), ring(feeds, "a-b").await.len()), (1, 1));
}

async fn of_many_at_once_all_are_published_once(feeds: &dyn Feeds) {
    let published = at_once(8, |n| async move { publish(feeds, "a", n as i64).await });
    let offsets: std::collections::BTreeSet<_> = published.iter().map(|stored| stored.position.offset).collect();
    assert_eq!(offsets.into_iter().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let held: HashMap<_, _> = ring(feeds, "a").await.into_iter().map(|message| (message.offset, message)).collect();
    for stored in published {
        let latest = stored.latest.expect("a message");
        assert_eq!(held.get(&latest.offset), Some(&latest));
    }
    let newest = load(feeds, "a").await.latest.expect("a message");
    assert_eq!(newest.offset, 8);
}

async fn the_next_process_finds_values_notes_and_rings(feeds: &dyn Feeds) {
    for n in 1..=10 {
        publish(feeds, "short", n).await;
    }
    publish(feeds, "a", 1).await;
    feeds.store().note(&name("a"), &note(2)).await.expect("noted");
    feeds.store().note(&name("noted"), &note(3)).await.expect("noted");
    let mut before = Vec::new();
    for feed in ["short", "a", "noted"] {
        before.push((load(feeds, feed).await, ring(feeds, feed).await));
    }
    let next = feeds.next_process().await;
    for (feed, (stored, messages)) in ["short", "a", "noted"].into_iter().zip(before) {
        assert_eq!(load(&*next, feed).await, stored, "{feed}");
        assert_eq!(ring(&*next, feed).await, messages, "{feed}");
    }
    let after = publish(&*next, "short", 11).await;
    assert_eq!(after.position.offset, 11, "places go on");
    assert_eq!(ring(&*next, "short").await.len(), KEPT);
}

async fn every_statement_can_be_prepared(feeds: &dyn Feeds) {
    feeds.prepare_all().await.expect("prepared");
}
