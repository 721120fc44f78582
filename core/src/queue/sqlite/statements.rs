//! The queue's own SQL for SQLite, beside what apalis brings. Batches travel as one JSON parameter.

/// Indexes update ids: rows [id, fingerprint in hexadecimal]. Returns the ids that are new.
pub(super) const INDEX_KEYS: &str = "
INSERT INTO accepted (id, fingerprint, job_id, accepted_at)
SELECT value ->> 0, unhex(value ->> 1), ?2, ?3 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO NOTHING
RETURNING id";

/// What is indexed under these ids.
pub(super) const INDEXED_KEYS: &str = "
SELECT id, fingerprint FROM accepted WHERE id IN (SELECT value FROM json_each(?1))";

/// Moves updates to another job, whose keys count from now on: rows [id, fingerprint in hexadecimal].
pub(super) const MOVE_KEYS: &str = "
INSERT INTO accepted (id, fingerprint, job_id, accepted_at)
SELECT value ->> 0, unhex(value ->> 1), ?2, ?3 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO UPDATE SET job_id = excluded.job_id, accepted_at = excluded.accepted_at";

/// The job an update is indexed under.
pub(super) const JOB_OF_UPDATE: &str = "SELECT job_id FROM accepted WHERE id = ?1";

/// A job that is not finished.
pub(super) const UNFINISHED_JOB: &str = "
SELECT id, job_type, job, status, attempts, run_at, last_result FROM Jobs
WHERE id = ?1 AND status IN ('Pending', 'Queued', 'Running', 'Failed')";

/// Has a job wait.
pub(super) const DELAY_JOB: &str = "UPDATE Jobs SET run_at = ?2 WHERE id = ?1";

/// Parks a dead letter, once.
pub(super) const BURY: &str = "
INSERT INTO dead_letters (id, job_id, kind, payload, reason, attempts, died_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";

/// A dead letter.
pub(super) const FIND_DEAD_LETTER: &str = "
SELECT id, job_id, kind, payload, reason, attempts, died_at FROM dead_letters WHERE id = ?1";

/// Dead letters of a kind, newest first, that died before this time and id.
pub(super) const DEAD_LETTERS: &str = "
SELECT id, job_id, kind, payload, reason, attempts, died_at FROM dead_letters
WHERE kind = ?1 AND (died_at, id) < (?2, ?3) ORDER BY died_at DESC, id DESC LIMIT ?4";

/// Unfinished jobs of a kind by id, of these statuses and after this id. The first condition is the index's.
pub(super) const JOBS_IN_STATE: &str = "
SELECT id, job_type, job, status, attempts, run_at, last_result FROM Jobs
WHERE job_type = ?1 AND status IN ('Pending', 'Queued', 'Running', 'Failed')
      AND status IN (SELECT value FROM json_each(?2)) AND id > ?3
ORDER BY id LIMIT ?4";

/// Takes dead letters away.
pub(super) const TAKE_DEAD_LETTERS: &str = "
DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?1))
RETURNING id, job_id, kind, payload, reason, attempts";

/// Forgets the keys of updates, where they still are of this job.
pub(super) const FORGET_KEYS: &str = "
DELETE FROM accepted WHERE job_id = ?1 AND id IN (SELECT value FROM json_each(?2))";

/// Depth, oldest job and dead letters of a kind.
pub(super) const STATS: &str = "
SELECT (SELECT count(*) FROM Jobs
        WHERE job_type = ?1 AND status IN ('Pending', 'Queued', 'Running', 'Failed')) AS depth,
       (SELECT min(id) FROM Jobs
        WHERE job_type = ?1 AND status IN ('Pending', 'Queued', 'Running', 'Failed')) AS oldest,
       (SELECT count(*) FROM dead_letters WHERE kind = ?1) AS dead";

/// Forgets finished jobs in chunks.
pub(super) const TRIM_JOBS: &str = "
DELETE FROM Jobs WHERE rowid IN
    (SELECT rowid FROM Jobs WHERE status IN ('Done', 'Killed') AND done_at IS NOT NULL LIMIT ?1)";

/// Forgets old keys in chunks.
pub(super) const TRIM_KEYS: &str = "
DELETE FROM accepted WHERE id IN (SELECT id FROM accepted WHERE accepted_at < ?1 ORDER BY accepted_at LIMIT ?2)";

/// Jobs in the hands of a worker.
pub(super) const HELD_JOBS: &str = "
SELECT id, job FROM Jobs WHERE job_type = ?1 AND status IN ('Queued', 'Running')";

/// Gives every held job back.
pub(super) const RELEASE_JOBS: &str = "
UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
WHERE job_type = ?1 AND status IN ('Queued', 'Running')";

/// Forgets workers of earlier lives.
pub(super) const FORGET_WORKERS: &str = "DELETE FROM Workers WHERE worker_type = ?1";

/// Counts one more delivery that ended in a crash.
pub(super) const COUNT_CRASHES: &str = "
INSERT INTO crash_deliveries (job_id, count) SELECT value, 1 FROM json_each(?1) WHERE true
ON CONFLICT (job_id) DO UPDATE SET count = count + 1";

/// Jobs of a kind that crashed this often.
pub(super) const CRASHED_JOBS: &str = "
SELECT c.job_id, c.count, j.job FROM crash_deliveries c JOIN Jobs j ON j.id = c.job_id
WHERE c.count >= ?1 AND j.status = 'Pending' AND j.job_type = ?2";

/// Forgets the crashes of jobs that are gone or finished.
pub(super) const FORGET_CRASHES: &str = "
DELETE FROM crash_deliveries
WHERE job_id NOT IN (SELECT id FROM Jobs WHERE status IN ('Pending', 'Queued', 'Running', 'Failed'))";

/// Removes a job.
pub(super) const REMOVE_JOB: &str = "DELETE FROM Jobs WHERE id = ?1";

/// The unfinished job that holds a claim at a time, if any, and what else is remembered of the claim.
pub(super) const FIND_CLAIM: &str = "
SELECT c.until, c.slot, j.id AS holder
FROM claims c LEFT JOIN Jobs j
    ON j.id = c.job_id AND c.until > ?3 AND j.status IN ('Pending', 'Queued', 'Running', 'Failed')
WHERE c.kind = ?1 AND c.claim = ?2";

/// Remembers the newest tick that was fired.
pub(super) const TAKE_SLOT: &str = "
INSERT INTO claims (kind, claim, slot) VALUES (?1, ?2, ?3)
ON CONFLICT (kind, claim) DO UPDATE SET slot = excluded.slot";

/// Gives a claim to a job.
pub(super) const TAKE_CLAIM: &str = "
INSERT INTO claims (kind, claim, job_id, until) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (kind, claim) DO UPDATE SET job_id = excluded.job_id, until = excluded.until";

/// Ends a job's claim.
pub(super) const GIVE_CLAIM_BACK: &str = "
UPDATE claims SET job_id = NULL, until = NULL WHERE kind = ?1 AND claim = ?2 AND job_id = ?3";

/// Changes what a job carries, unless a worker has it in hand.
pub(super) const REPLACE_PAYLOAD: &str = "
UPDATE Jobs SET job = ?2 WHERE id = ?1 AND status IN ('Pending', 'Failed')";

/// All of them, for the test that prepares each on a real database.
pub const ALL: [&str; 27] = [
    INDEX_KEYS,
    INDEXED_KEYS,
    MOVE_KEYS,
    JOB_OF_UPDATE,
    UNFINISHED_JOB,
    DELAY_JOB,
    BURY,
    FIND_DEAD_LETTER,
    DEAD_LETTERS,
    JOBS_IN_STATE,
    TAKE_DEAD_LETTERS,
    FORGET_KEYS,
    STATS,
    TRIM_JOBS,
    TRIM_KEYS,
    HELD_JOBS,
    RELEASE_JOBS,
    FORGET_WORKERS,
    COUNT_CRASHES,
    CRASHED_JOBS,
    FORGET_CRASHES,
    REMOVE_JOB,
    FIND_CLAIM,
    TAKE_SLOT,
    TAKE_CLAIM,
    GIVE_CLAIM_BACK,
    REPLACE_PAYLOAD,
];
