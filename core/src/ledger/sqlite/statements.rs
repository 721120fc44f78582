//! The ledger's SQL for SQLite. Batches travel as one JSON parameter and are opened by `json_each`:
//! a statement per batch instead of a statement per row.

/// Which of these update ids are recorded.
pub(super) const KNOWN_UPDATES: &str = "SELECT id FROM updates WHERE id IN (SELECT value FROM json_each(?1))";

/// The id of a board.
pub(super) const BOARD_ID: &str = "SELECT id FROM boards WHERE name = ?1";

/// These users, with their standing on a board where they have one.
pub(super) const HOLDERS: &str = "
SELECT u.id, u.name, u.created_at, u.deleted_at, s.score, s.version, s.reached_at
FROM users u LEFT JOIN standings s ON s.user_id = u.id AND s.board_id = ?1
WHERE u.id IN (SELECT value FROM json_each(?2))";

/// Records decided updates: rows
/// [id, user, operator, amount, accepted_at, rejection, score, submitter, request, attempts].
pub(super) const RECORD_UPDATES: &str = "
INSERT INTO updates
    (id, board_id, user_id, operator, amount, accepted_at, decided_at, rejection, score, submitter, request_id, attempts)
SELECT value ->> 0, ?1, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?2,
       value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9
FROM json_each(?3)";

/// Writes standings: rows [user, score, version, reached_at].
pub(super) const WRITE_STANDINGS: &str = "
INSERT INTO standings (board_id, user_id, score, version, reached_at)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?2) WHERE true
ON CONFLICT (board_id, user_id) DO UPDATE
SET score = excluded.score, version = excluded.version, reached_at = excluded.reached_at";

/// A recorded update.
pub(super) const FIND_UPDATE: &str = "
SELECT b.name AS board, u.user_id, u.amount, u.accepted_at, u.decided_at, u.rejection, u.score, u.submitter, u.request_id, u.attempts
FROM updates u JOIN boards b ON b.id = u.board_id
WHERE u.id = ?1";

/// Standings of living users of a board, by user id.
pub(super) const STANDINGS: &str = "
SELECT s.user_id, u.name, s.score, s.version, s.reached_at
FROM standings s JOIN users u ON u.id = s.user_id
WHERE s.board_id = (SELECT id FROM boards WHERE name = ?1) AND s.user_id > ?2 AND u.deleted_at IS NULL
ORDER BY s.user_id LIMIT ?3";

/// Forgets old records in chunks.
pub(super) const FORGET_UPDATES: &str = "
DELETE FROM updates WHERE id IN (SELECT id FROM updates WHERE decided_at < ?1 ORDER BY decided_at LIMIT ?2)";

/// The user with an id, deleted or not.
pub(super) const FIND_USER: &str = "SELECT id, name, created_at, deleted_at FROM users WHERE id = ?1";

/// Living users by id.
pub(super) const USERS: &str = "
SELECT id, name, created_at FROM users WHERE id > ?1 AND deleted_at IS NULL ORDER BY id LIMIT ?2";

/// Takes the next user id.
pub(super) const TAKE_USER_ID: &str = "UPDATE next_user_id SET id = id + 1 WHERE only = 1 RETURNING id - 1";

/// Adds a user.
pub(super) const ADD_USER: &str = "
INSERT INTO users (id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";

/// Takes the write lock and reads through the schema.
pub(super) const PROBE: &str = "SELECT count(*) FROM boards";

/// Scores that the recorded updates do not add up to.
pub(super) const UNEXPLAINED: &str = "
SELECT s.user_id, s.score, coalesce(sum(u.amount), 0) AS recorded, p.created_at
FROM standings s
JOIN boards b ON b.id = s.board_id
JOIN users p ON p.id = s.user_id
LEFT JOIN updates u ON u.board_id = s.board_id AND u.user_id = s.user_id AND u.rejection IS NULL
WHERE b.name = ?1
GROUP BY s.user_id, s.score, p.created_at
HAVING s.score <> coalesce(sum(u.amount), 0)
ORDER BY s.user_id";

/// Records requests to sources, except those that are recorded already.
pub(super) const RECORD_REQUESTS: &str = "
INSERT INTO source_requests (id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt)
SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[1][0]', value ->> '$[1][1]',
       value ->> '$[1][2]', value ->> '$[1][3]', value ->> '$[0][3]', value ->> '$[2]', value ->> '$[3]',
       value ->> '$[1][4]'
FROM json_each(?1) WHERE true
ON CONFLICT (id) DO NOTHING";

/// Requests to sources, newest first, before this id.
pub(super) const REQUESTS: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE id < ?1 ORDER BY id DESC LIMIT ?2";

/// The same of one feed.
pub(super) const REQUESTS_OF_FEED: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE feed = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2";

/// What a job asked of its source, oldest first.
pub(super) const REQUESTS_OF_JOB: &str = "
SELECT id, feed, url, at, status, latency_us, bytes, outcome, detail, job_id, attempt
FROM source_requests WHERE job_id = ?1 ORDER BY id";

/// Forgets old requests in chunks.
pub(super) const FORGET_REQUESTS: &str = "
DELETE FROM source_requests WHERE id IN (SELECT id FROM source_requests WHERE at < ?1 ORDER BY at LIMIT ?2)";

/// All of them, for the test that prepares each on a real database.
pub const ALL: [&str; 18] = [
    KNOWN_UPDATES,
    BOARD_ID,
    HOLDERS,
    RECORD_UPDATES,
    WRITE_STANDINGS,
    FIND_UPDATE,
    STANDINGS,
    FORGET_UPDATES,
    UNEXPLAINED,
    FIND_USER,
    USERS,
    TAKE_USER_ID,
    ADD_USER,
    RECORD_REQUESTS,
    REQUESTS,
    REQUESTS_OF_FEED,
    REQUESTS_OF_JOB,
    FORGET_REQUESTS,
];
