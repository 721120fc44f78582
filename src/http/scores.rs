//! `/scores`: the board, updates and what became of them.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, StatusCode, header};
use scorewire_core::domain::{BoardId, Micros, Operator, Outcome, RequestId, SCORE_LIMIT, Subject, UpdateId, UserId};
use scorewire_core::ports::{Acceptance, NewUpdate, QueuedState, QueuedUpdate, UpdateIdentity, UpdateRecord};
use serde::{Deserialize, Serialize};

use super::auth::Scope;
use super::problem::{Kind, Problem};
use super::waiting::Waiting;
use super::{App, Call, Response, conditional, json_response};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Seconds since the answer was known to be true, where that is not now.
const STALE: HeaderName = HeaderName::from_static("scorewire-stale");
/// Browsers and proxies may keep a board, but ask each time whether it still stands.
const REVALIDATE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

/// `GET /scores`: rows of the board, best first.
pub(super) async fn list(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let board = BoardId::main();
    let (body, stale): (bytes::Bytes, _) = if call.query.is_empty() {
        let read = app.wiring.boards.snapshot(&board).await?;
        (bytes::Bytes::copy_from_slice(read.value.top.as_bytes()), read.stale)
    } else {
        let page: PageQuery = call.query()?;
        let limit = page.limit.unwrap_or(app.settings.top_rows);
        if !(1..=100).contains(&limit) {
            return Err(Problem::new(Kind::InvalidRequest, "limit: choose from 1 to 100"));
        }
        let read = app.wiring.boards.page(&board, page.offset, limit).await?;
        (serde_json::to_vec(&read.value).unwrap_or_default().into(), read.stale)
    };
    let mut response = conditional::respond(call.headers, body, super::JSON, REVALIDATE);
    mark_stale(&mut response, stale);
    Ok(response)
}

/// Says how long ago the answer was true, where that is not now.
pub(super) fn mark_stale(response: &mut Response, stale: Option<Duration>) {
    if let Some(age) = stale {
        response.headers_mut().insert(STALE, HeaderValue::from(age.as_secs().max(1)));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UpdateBody {
    user_id: i64,
    increment: i64,
}

#[derive(Serialize)]
struct Submitted<'a> {
    message: &'static str,
    id: &'a UpdateId,
}

/// `POST /scores/update`: accepts an update durably; with `Prefer: wait`, tells what became of it if that is known
/// in time.
pub(super) async fn update(app: &App, call: &Call<'_>, body: UpdateBody) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let user = UserId::parse(body.user_id).map_err(|e| Problem::field("userId", e.to_string()))?;
    if body.increment == 0 || body.increment.unsigned_abs() > SCORE_LIMIT.unsigned_abs() {
        let detail = format!("an increment is a whole number within ±{SCORE_LIMIT}, and not 0");
        return Err(Problem::field("increment", detail));
    }
    caller.must_own(user)?;
    let identity = identity(call, &caller.subject)?;
    let allowance = app.limits.check_subject(&caller.subject).await?;
    let waiting = Waiting::begin(app, call.headers);
    let accepted = app.acceptor.accept(NewUpdate {
        identity,
        board: BoardId::main(),
        user,
        operator: Operator::Increment(body.increment),
        accepted_at: app.wiring.clock.now(),
        submitter: caller.subject.clone(),
        request: call.request.clone(),
        reply_to: waiting.as_ref().map(Waiting::reply_to),
    });
    let (id, replayed) = match accepted.await? {
        Acceptance::Accepted(id) => {
            app.wiring.metrics.accepted.inc();
            tracing::debug!(update = %id, request = %call.request, "accepted");
            (id, false)
        }
        Acceptance::Replayed(id) => {
            app.wiring.metrics.replayed.inc();
            (id, true)
        }
        Acceptance::KeyReused(id) => {
            let detail = format!("this key was used for another body, as update {id}: use a new key for a new update");
            return Err(Problem::new(Kind::KeyReused, detail));
        }
    };
    let result = match &waiting {
        Some(waiting) => waiting.result(app, &id, replayed).await,
        None => None,
    };
    let mut response = match result {
        Some(status) => told(&status),
        None => json_response(StatusCode::ACCEPTED, &Submitted { message: "Score update request submitted", id: &id }),
    };
    let headers = response.headers_mut();
    if let Some(waiting) = &waiting {
        waiting.write(headers);
    }
    if let Ok(location) = HeaderValue::from_str(&format!("/scores/updates/{id}")) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(allowance) = allowance {
        allowance.write(headers);
    }
    Ok(response)
}

fn identity(call: &Call<'_>, subject: &Subject) -> Result<UpdateIdentity, Problem> {
    let invalid = |why: String| Problem::new(Kind::InvalidRequest, format!("Idempotency-Key: {why}"));
    let mut keys = call.headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(UpdateIdentity::Keyless),
        (Some(key), None) => UpdateId::keyed(subject, key.to_str().unwrap_or_default())
            .map(UpdateIdentity::Keyed)
            .map_err(|e| invalid(e.to_string())),
        (Some(_), Some(_)) => Err(invalid("send one key".to_owned())),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateStatus {
    id: UpdateId,
    status: &'static str,
    board: BoardId,
    user_id: UserId,
    increment: i64,
    attempts: u32,
    accepted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    submitter: String,
    request_id: RequestId,
}

impl UpdateStatus {
    /// Whether it will not change any more by itself.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, "applied" | "rejected" | "failed")
    }
}

/// What became of an update, for those who may know it; nobody else's cache may keep it.
fn told(status: &UpdateStatus) -> Response {
    let mut response = json_response(StatusCode::OK, status);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /scores/updates/{id}`: what became of an update.
pub(super) async fn find_update(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let id = UpdateId::new(call.parameter);
    let status = status(app, &id).await?;
    let status = status.filter(|status| status.submitter == caller.subject.as_str() || caller.may(Scope::Admin));
    // The same answer for somebody else's update: whether an id exists is its submitter's business.
    let status = status.ok_or_else(|| {
        Problem::new(Kind::NotFound, "no update of yours has this id (records are kept for the configured retention)")
    })?;
    Ok(told(&status))
}

/// The ledger's word is final, so it is asked first; and again last, since a job may be decided, acknowledged
/// and trimmed between two looks.
pub(super) async fn status(app: &App, id: &UpdateId) -> Result<Option<UpdateStatus>, Problem> {
    if let Some(record) = app.wiring.ledger.find_update(id).await? {
        return Ok(Some(decided(record)));
    }
    if let Some(queued) = app.wiring.queue.find_update(id).await? {
        return Ok(Some(undecided(queued)));
    }
    Ok(app.wiring.ledger.find_update(id).await?.map(decided))
}

fn decided(record: UpdateRecord) -> UpdateStatus {
    let (status, reason, detail) = match record.outcome {
        Outcome::Applied => ("applied", None, None),
        Outcome::Rejected(rejection) => ("rejected", Some(rejection.slug().to_owned()), Some(rejection.to_string())),
    };
    UpdateStatus {
        id: record.id,
        status,
        board: record.board,
        user_id: record.user,
        increment: record.amount,
        attempts: record.attempts,
        accepted_at: rfc3339(record.accepted_at),
        finished_at: Some(rfc3339(record.decided_at)),
        score: record.score,
        reason,
        detail,
        submitter: record.submitter.to_string(),
        request_id: record.request,
    }
}

fn undecided(queued: QueuedUpdate) -> UpdateStatus {
    let status = match queued.state {
        QueuedState::Queued => "queued",
        QueuedState::Retrying => "retrying",
        QueuedState::Dead => "failed",
    };
    UpdateStatus {
        id: queued.update.id,
        status,
        board: queued.update.board,
        user_id: queued.update.user,
        increment: queued.update.operator.amount(),
        attempts: queued.attempts,
        accepted_at: rfc3339(queued.update.accepted_at),
        finished_at: queued.died_at.map(rfc3339),
        score: None,
        reason: None,
        detail: queued.last_error,
        submitter: queued.update.submitter.to_string(),
        request_id: queued.update.request,
    }
}

/// RFC 3339 in UTC with microseconds.
pub(super) fn rfc3339(at: Micros) -> String {
    let at: SystemTime = at.system_time();
    humantime::format_rfc3339_micros(at).to_string()
}
