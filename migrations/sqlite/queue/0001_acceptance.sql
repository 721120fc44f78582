-- Beside apalis' own tables (Jobs, Workers), in the same file so that one transaction holds both.

-- Which update ids were accepted, with what body, in which job.
CREATE TABLE accepted (
    id          TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    job_id      TEXT    NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX accepted_at ON accepted (accepted_at);

-- Work that was given up on, kept for a person to look at.
CREATE TABLE dead_letters (
    id       TEXT    PRIMARY KEY,
    job_id   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    payload  TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    died_at  INTEGER NOT NULL
) STRICT;

-- How often a job was found in the hands of a worker that had died with it.
CREATE TABLE crash_deliveries (
    job_id TEXT    PRIMARY KEY,
    count  INTEGER NOT NULL
) STRICT;

-- Acknowledging is quadratic through this one: every row of a long-lived worker shares its key.
DROP INDEX IF EXISTS LIdx;

-- These serve statistics and locking that are not used here, and every push pays for them.
DROP INDEX IF EXISTS idx_jobs_job_type_status_run_at;
DROP INDEX IF EXISTS idx_jobs_status_run_at;
DROP INDEX IF EXISTS idx_jobs_running;
DROP INDEX IF EXISTS idx_jobs_claimable;

-- Depth and age of the oldest job.
CREATE INDEX jobs_unfinished ON Jobs (job_type, id) WHERE status IN ('Pending', 'Queued', 'Running', 'Failed');
