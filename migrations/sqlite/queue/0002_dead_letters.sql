-- A job nobody could read is kept byte for byte, so that it can be queued again as it was.
CREATE TABLE dead_letters_of_bytes (
    id       TEXT    PRIMARY KEY,
    job_id   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    payload  BLOB    NOT NULL,
    reason   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    died_at  INTEGER NOT NULL
) STRICT;

INSERT INTO dead_letters_of_bytes (id, job_id, kind, payload, reason, attempts, died_at)
SELECT id, job_id, kind, CAST(payload AS BLOB), reason, attempts, died_at FROM dead_letters;

DROP TABLE dead_letters;

ALTER TABLE dead_letters_of_bytes RENAME TO dead_letters;

-- Pages of dead letters, newest first.
CREATE INDEX dead_letters_by_death ON dead_letters (kind, died_at, id);
