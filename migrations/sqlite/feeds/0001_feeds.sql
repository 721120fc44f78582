-- Feeds between fetches, and the rings of their topics. Times are microseconds since the Unix epoch.

CREATE TABLE feeds (
    name        TEXT    PRIMARY KEY,
    -- The life of its topic, which goes on after a restart: nothing that was announced is missing here.
    epoch       TEXT    NOT NULL,
    -- Offset of the newest message ever.
    top         INTEGER NOT NULL,
    -- Time of the newest message that is no longer kept; before the first, when the topic began.
    forgotten   INTEGER NOT NULL,
    -- Time and data of the newest message, which outlives the ring; NULL before the first.
    latest_at   INTEGER,
    latest_data TEXT,
    -- What was noted of the fetches, as JSON.
    note        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed_messages (
    feed   TEXT    NOT NULL,
    offset INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    data   TEXT    NOT NULL,
    PRIMARY KEY (feed, offset)
) STRICT, WITHOUT ROWID;
