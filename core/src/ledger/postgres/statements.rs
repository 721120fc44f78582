//! The ledger's SQL for PostgreSQL. Batches travel as one array per column and are opened by `unnest`:
//! a statement per batch instead of a statement per row.
//!
//! Every statement that locks more than one row names its rows in one order (updates by id, standings by user id),
//! so that two workers with the same users wait for each other and never in a circle.

/// Begins a transaction in which each statement sees what was committed before it, whatever the database's default.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The ids of these boards.
pub(super) const BOARD_IDS: &str = "SELECT id, name FROM boards WHERE name = ANY($1::text[])";

/// Which of these updates are recorded.
pub(super) const KNOWN_UPDATES: &str = "SELECT id FROM updates WHERE id = ANY($1::text[])";

/// Records decided updates of a board, except those that are recorded already. Waits for a transaction that is recording
/// the same id: it is there when that one commits, and new when it does not. One number marks all of a transaction.
pub(super) const RECORD_UPDATES: &str = "
INSERT INTO updates
    (id, board_id, user_id, operator, amount, accepted_at, submitter, request_id, attempts, rejection, score,
     decided_at, batch_id)
SELECT n.id, $1, n.user_id, n.operator, n.amount, n.accepted_at, n.submitter, n.request_id, n.attempts, n.rejection,
       n.score, $2, (SELECT CASE WHEN $3 THEN nextval('update_batches') ELSE currval('update_batches') END)
FROM unnest($4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bigint[],
            $12::text[], $13::bigint[])
     AS n (id, user_id, operator, amount, accepted_at, submitter, request_id, attempts, rejection, score)
ORDER BY n.id COLLATE \"C\"
ON CONFLICT (id) DO NOTHING";

/// Gives users who never scored on a board a row there, so that there is something to lock. A transaction of its own:
/// while it waits for another one of that statement it holds no lock that one could wait for.
pub(super) const START_STANDINGS: &str = "
INSERT INTO standings (board_id, user_id, score, version, reached_at)
SELECT $1, u.id, 0, 0, u.created_at FROM users u
WHERE u.id = ANY($2::bigint[]) AND u.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM standings s WHERE s.board_id = $1 AND s.user_id = u.id)
ORDER BY u.id
ON CONFLICT (board_id, user_id) DO NOTHING";

/// Locks standings of a board until the transaction ends.
pub(super) const LOCK_STANDINGS: &str = "
SELECT user_id FROM standings WHERE board_id = $1 AND user_id = ANY($2::bigint[]) ORDER BY user_id FOR UPDATE";

/// These users, with their standing on a board where they have one. Not joined to the lock: a locking statement
/// that had to wait would still see the other table as it was before.
pub(super) const HOLDERS: &str = "
SELECT u.id, u.name, u.created_at, u.deleted_at, s.score, s.version, s.reached_at
FROM users u LEFT JOIN standings s ON s.user_id = u.id AND s.board_id = $1
WHERE u.id = ANY($2::bigint[])";

/// Writes standings of a board.
pub(super) const WRITE_STANDINGS: &str = "
INSERT INTO standings (board_id, user_id, score, version, reached_at)
SELECT $1, n.user_id, n.score, n.version, n.reached_at
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n (user_id, score, version, reached_at)
ORDER BY n.user_id
ON CONFLICT (board_id, user_id) DO UPDATE
SET score = excluded.score, version = excluded.version, reached_at = excluded.reached_at";

/// A recorded update.
pub(super) const FIND_UPDATE: &str = "
SELECT b.name AS board, u.user_id, u.amount, u.accepted_at, u.decided_at, u.rejection, u.score, u.submitter, u.request_id,
       u.attempts
FROM updates u JOIN boards b ON b.id = u.board_id
WHERE u.id = $1";

/// Standings of living users of a board, by user id.
pub(super) const STANDINGS: &str = "
SELECT s.user_id, u.name, s.score, s.version, s.reached_at
FROM standings s JOIN users u ON u.id = s.user_id
WHERE s.board_id = (SELECT id FROM boards WHERE name = $1) AND s.user_id > $2 AND s.version > 0
  AND u.deleted_at IS NULL
ORDER BY s.user_id LIMIT $3";

/// Forgets old records in chunks; leaves those another process is forgetting.
pub(super) const FORGET_UPDATES: &str = "
DELETE FROM updates WHERE id = ANY (ARRAY(
    SELECT id FROM updates WHERE decided_at < $1 ORDER BY decided_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The user with an id, deleted or not.
pub(super) const FIND_USER: &str = "SELECT id, name, created_at, deleted_at FROM users WHERE id = $1";

/// Living users by id.
pub(super) const USERS: &str = "
SELECT id, name, created_at FROM users WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2";

/// Takes the next user id that nobody asked for: the counter's, or else the first gap after it.
pub(super) const TAKE_USER_ID: &str = "
UPDATE next_user_id c SET id = 1 + CASE
    WHEN NOT EXISTS (SELECT FROM users u WHERE u.id = c.id) THEN c.id
    ELSE (SELECT u.id + 1 FROM users u
          WHERE u.id >= c.id AND NOT EXISTS (SELECT FROM users n WHERE n.id = u.id + 1)
          ORDER BY u.id LIMIT 1)
    END
WHERE single = 1 RETURNING id - 1";

/// Adds a user.
pub(super) const ADD_USER: &str = "
INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";

/// Reads through the schema and takes a lock, which a standby or a read-only database refuses. Two probes do not
/// wait for each other, and nobody else waits for them.
pub(super) const PROBE: &str = "SELECT id FROM boards WHERE name = 'main' FOR NO KEY UPDATE SKIP LOCKED";

/// The migrations that were applied, with what they contained.
pub(super) const APPLIED_MIGRATIONS: &str =
    "SELECT version, checksum, success FROM scorewire_migrations ORDER BY version";

/// Scores that the recorded updates do not add up to.
pub(super) const UNEXPLAINED: &str = "
SELECT s.user_id, s.score, coalesce(sum(u.amount), 0)::BIGINT AS recorded, p.created_at
FROM standings s
JOIN boards b ON b.id = s.board_id
JOIN users p ON p.id = s.user_id
LEFT JOIN updates u ON u.board_id = s.board_id AND u.user_id = s.user_id AND u.rejection IS NULL
WHERE b.name = $1
GROUP BY s.user_id, s.score, p.created_at
HAVING s.score <> coalesce(sum(u.amount), 0)
ORDER BY s.user_id";

/// Records requests to sources, except those that are recorded already.
pub(super) const RECORD_REQUESTS: &str = "
INSERT INTO source_requests
    (id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt)
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
            $9::text[], $10::text[], $11::bigint[])
     AS n (id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt)
ORDER BY n.id COLLATE \"C\"
ON CONFLICT (id) DO NOTHING";

/// Requests to sources, newest first, before this id.
pub(super) const REQUESTS: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE id < $1 ORDER BY id DESC LIMIT $2";

/// The same of one feed.
pub(super) const REQUESTS_OF_FEED: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE feed = $3 AND id < $1 ORDER BY id DESC LIMIT $2";

/// What a job asked of its source, oldest first.
pub(super) const REQUESTS_OF_JOB: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE job_id = $1 ORDER BY id";

/// Forgets old requests in chunks; leaves those another process is forgetting.
pub(super) const FORGET_REQUESTS: &str = "
DELETE FROM source_requests WHERE id = ANY (ARRAY(
    SELECT id FROM source_requests WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// All of them, for the test that prepares each on a real database.
pub const ALL: [&str; 22] = [
    BOARD_IDS,
    KNOWN_UPDATES,
    RECORD_UPDATES,
    START_STANDINGS,
    LOCK_STANDINGS,
    HOLDERS,
    WRITE_STANDINGS,
    FIND_UPDATE,
    STANDINGS,
    FORGET_UPDATES,
    UNEXPLAINED,
    FIND_USER,
    USERS,
    TAKE_USER_ID,
    ADD_USER,
    PROBE,
    APPLIED_MIGRATIONS,
    RECORD_REQUESTS,
    REQUESTS,
    REQUESTS_OF_FEED,
    REQUESTS_OF_JOB,
    FORGET_REQUESTS,
];
