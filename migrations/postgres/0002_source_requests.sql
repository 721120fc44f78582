-- One row for every request to a feed's source. Not of the truth: rows go when they are old.
CREATE TABLE source_requests (
    id         TEXT   COLLATE "C" PRIMARY KEY,
    feed       TEXT   COLLATE "C" NOT NULL,
    url        TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    -- NULL when there was no answer.
    status     BIGINT,
    latency_us BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    outcome    TEXT   NOT NULL,
    detail     TEXT,
    job_id     TEXT   COLLATE "C" NOT NULL,
    attempt    BIGINT NOT NULL
);

CREATE INDEX source_requests_of_feed ON source_requests (feed, id);
CREATE INDEX source_requests_of_job ON source_requests (job_id, id);
CREATE INDEX source_requests_at ON source_requests (at);
