-- The ledger: the only truth. Times are microseconds since the Unix epoch.
-- Scores and amounts stay within ±(2^53−1): exact in JavaScript and in sorted sets.

CREATE TABLE boards (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    operator   TEXT    NOT NULL CHECK (operator IN ('increment', 'best', 'set')),
    direction  TEXT    NOT NULL CHECK (direction IN ('asc', 'desc')),
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO boards (id, name, operator, direction, created_at) VALUES (1, 'main', 'increment', 'desc', 0);

-- A deleted user leaves its row as a tombstone: ids are never reused.
CREATE TABLE users (
    id         INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

-- The next id for a user who did not ask for one; ids that were asked for are skipped.
CREATE TABLE next_user_id (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id   INTEGER NOT NULL
) STRICT;

INSERT INTO next_user_id (only, id) VALUES (1, 1);

CREATE TABLE standings (
    board_id   INTEGER NOT NULL REFERENCES boards (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    score      INTEGER NOT NULL CHECK (score BETWEEN -9007199254740991 AND 9007199254740991),
    version    INTEGER NOT NULL,
    reached_at INTEGER NOT NULL,
    PRIMARY KEY (board_id, user_id)
) STRICT, WITHOUT ROWID;

-- One row for every decided update, for as long as its key deduplicates.
CREATE TABLE updates (
    id          TEXT    PRIMARY KEY,
    board_id    INTEGER NOT NULL REFERENCES boards (id),
    user_id     INTEGER NOT NULL,
    operator    TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    decided_at  INTEGER NOT NULL,
    -- NULL when applied, else the slug of the reason.
    rejection   TEXT,
    -- The user's score after it; NULL when rejected.
    score       INTEGER,
    submitter   TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    -- The try that decided it, from 1.
    attempts    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX updates_decided_at ON updates (decided_at);
