-- One row for every request to a feed's source. Not of the truth: rows go when they are old.
CREATE TABLE source_requests (
    id         TEXT    PRIMARY KEY,
    feed       TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    -- NULL when there was no answer.
    status     INTEGER,
    latency_us INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    detail     TEXT,
    job_id     TEXT    NOT NULL,
    attempt    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX source_requests_of_feed ON source_requests (feed, id);
CREATE INDEX source_requests_of_job ON source_requests (job_id, id);
CREATE INDEX source_requests_at ON source_requests (at);
