//! The SQL of stored feeds.

/// Every feed.
pub(super) const FEEDS: &str = "SELECT name, epoch, top, forgotten, latest_at, latest_data, note FROM feeds";

/// The messages of a feed that are kept, oldest first.
pub(super) const MESSAGES: &str = "SELECT offset, at, data FROM feed_messages WHERE feed = ?1 ORDER BY offset";

/// Keeps a message. One whose commit failed may have been written all the same: the next one takes its place.
pub(super) const ADD_MESSAGE: &str = "
INSERT OR REPLACE INTO feed_messages (feed, offset, at, data) VALUES (?1, ?2, ?3, ?4)";

/// Forgets messages up to an offset, and those from before a time. Returns their times.
pub(super) const FORGET_MESSAGES: &str = "
DELETE FROM feed_messages WHERE feed = ?1 AND (offset <= ?2 OR at < ?3) RETURNING at";

/// Replaces what is kept of a feed; begins it at ?4, if it is new.
pub(super) const PUBLISH: &str = "
INSERT INTO feeds (name, epoch, top, forgotten, latest_at, latest_data, note)
VALUES (?1, ?2, ?3, coalesce(?5, ?4), ?6, ?7, ?8)
ON CONFLICT (name) DO UPDATE SET
    epoch = excluded.epoch, top = excluded.top, forgotten = coalesce(?5, forgotten),
    latest_at = excluded.latest_at, latest_data = excluded.latest_data, note = excluded.note";

/// Replaces the note of a feed; begins it at ?4, if it is new.
pub(super) const NOTE: &str = "
INSERT INTO feeds (name, epoch, top, forgotten, latest_at, latest_data, note)
VALUES (?1, ?2, ?3, ?4, NULL, NULL, ?5)
ON CONFLICT (name) DO UPDATE SET note = excluded.note";

/// All of them, for the test that prepares each on a real database.
pub(super) const ALL: [&str; 6] = [FEEDS, MESSAGES, ADD_MESSAGE, FORGET_MESSAGES, PUBLISH, NOTE];
