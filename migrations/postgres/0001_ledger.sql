-- The ledger: the only truth. Times are microseconds since the Unix epoch.
-- Scores and amounts stay within ±(2^53−1): exact in JavaScript and in sorted sets.
-- Identities compare byte by byte (COLLATE "C"): the same everywhere, and an upgrade of the system's locales can not
-- change their order under an index.

CREATE TABLE boards (
    id         BIGINT PRIMARY KEY,
    name       TEXT   COLLATE "C" NOT NULL UNIQUE,
    operator   TEXT   NOT NULL CHECK (operator IN ('increment', 'best', 'set')),
    direction  TEXT   NOT NULL CHECK (direction IN ('asc', 'desc')),
    created_at BIGINT NOT NULL
);

INSERT INTO boards (id, name, operator, direction, created_at) VALUES (1, 'main', 'increment', 'desc', 0);

-- A deleted user leaves its row as a tombstone: ids are never reused.
CREATE TABLE users (
    id         BIGINT PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

-- The next id for a user who did not ask for one; ids that were asked for are skipped.
-- Its one row is also the lock that puts such creations one after the other.
CREATE TABLE next_user_id (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    id     BIGINT  NOT NULL
);

INSERT INTO next_user_id (single, id) VALUES (1, 1);

-- Rewritten with every batch: the free space lets a new version of a row stay on its page, without index entries.
CREATE TABLE standings (
    board_id   BIGINT NOT NULL REFERENCES boards (id),
    user_id    BIGINT NOT NULL REFERENCES users (id),
    score      BIGINT NOT NULL CHECK (score BETWEEN -9007199254740991 AND 9007199254740991),
    -- 0 while the user has not scored on this board: the row is there to be locked, and nobody is shown it.
    version    BIGINT NOT NULL,
    reached_at BIGINT NOT NULL,
    PRIMARY KEY (board_id, user_id)
) WITH (fillfactor = 70);

-- One number for each transaction that records updates.
CREATE SEQUENCE update_batches;

-- One row for every decided update, for as long as its key deduplicates.
-- No reference to boards: each row would lock the board's row, and every worker writes here.
-- A row is written once and never changed.
CREATE TABLE updates (
    id          TEXT   COLLATE "C" PRIMARY KEY,
    board_id    BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    operator    TEXT   NOT NULL,
    amount      BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    decided_at  BIGINT NOT NULL,
    -- NULL when applied, else the slug of the reason.
    rejection   TEXT,
    -- The user's score after it; NULL when rejected.
    score       BIGINT,
    submitter   TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    -- The try that decided it, from 1.
    attempts    BIGINT NOT NULL,
    -- Which transaction decided it: rows with one number came and went together.
    batch_id    BIGINT NOT NULL,
    CHECK (rejection IS NULL OR score IS NULL)
);

CREATE INDEX updates_decided_at ON updates (decided_at);
