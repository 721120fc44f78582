//! Fetches at a person's wish, and the log of what was asked of sources.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use scorewire_core::domain::{FeedName, JobId};
use scorewire_core::feed_status::FeedStatus;
use scorewire_core::ports::{Enqueued, JobKind, NewJob, SourceRequestRecord};
use scorewire_core::queue::FetchPayload;
use serde::{Deserialize, Serialize};

use super::auth::Scope;
use super::problem::{Kind, Problem};
use super::scores::rfc3339;
use super::{App, Call, Response, feeds, fresh_json, json_response};

/// A fetch that nobody worked on for so long no longer stands in the way of another.
const CLAIM: Duration = Duration::from_secs(60);
/// Requests in one answer, if the request does not say, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;

#[derive(Serialize)]
struct QueuedView {
    /// The job.
    id: String,
    /// An unfinished fetch was there: it is this one.
    coalesced: bool,
}

#[derive(Serialize)]
struct FetchView {
    id: String,
    feed: FeedName,
    state: &'static str,
    /// What was asked of the source, oldest first.
    requests: Vec<RequestView>,
}

/// A request to a source as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestView {
    id: String,
    feed: FeedName,
    url: String,
    at: String,
    status: Option<u16>,
    latency_seconds: f64,
    bytes: u64,
    outcome: String,
    detail: Option<String>,
    job: String,
    attempt: u32,
}

#[derive(Serialize)]
struct RequestPageView {
    requests: Vec<RequestView>,
    /// `?after=` of the next page; `null` at the end.
    next: Option<String>,
}

impl From<SourceRequestRecord> for RequestView {
    fn from(record: SourceRequestRecord) -> Self {
        Self {
            id: record.id,
            feed: record.feed,
            url: record.url,
            at: rfc3339(record.at),
            status: record.status,
            latency_seconds: record.latency.as_secs_f64(),
            bytes: record.bytes,
            outcome: record.outcome,
            detail: record.detail,
            job: record.job.to_string(),
            attempt: record.attempt,
        }
    }
}

/// `POST /feeds/{name}/fetch`: queues a fetch now, unless one is under way.
pub(super) async fn create(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let caller = call.caller()?;
    caller.must(Scope::Feeds)?;
    let feed = feeds::named(app, call.parameter)?;
    let allowance = app.limits.check_subject(&caller.subject).await?;
    let wiring = &app.wiring;
    let now = wiring.clock.now();
    let stored = wiring.feed_store.load(&feed.name).await?;
    if let Some(until) = FeedStatus::of(feed, &stored, &feed.patience(&app.settings), now).rests_until {
        let detail = "the source failed, or wishes to be left alone, and is asked again after Retry-After";
        return Err(Problem::new(Kind::SourceResting, detail).retry_after(until.since(now)));
    }
    let job = NewJob {
        kind: JobKind::Fetch,
        claim: feed.name.to_string(),
        payload: FetchPayload::new(feed.name.clone(), None, Some(call.request.clone())).encode(),
        claim_until: now.plus(CLAIM),
        slot: None,
        replaces: true,
    };
    let (id, coalesced) = match wiring.unique_jobs.enqueue(job).await? {
        Enqueued::Queued(id) => (id, false),
        Enqueued::Claimed(id) => (id, true),
        Enqueued::SlotTaken => return Err(Problem::new(Kind::Internal, "a fetch without a slot found it taken")),
    };
    tracing::info!(request = %call.request, feed = %feed.name, job = %id, coalesced, subject = %caller.subject, "a fetch was asked for");
    let mut response = json_response(StatusCode::ACCEPTED, &QueuedView { id: id.to_string(), coalesced });
    if let Ok(location) = HeaderValue::from_str(&format!("/fetches/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

/// `GET /fetches/{id}`: what became of a fetch.
pub(super) async fn find(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Feeds)?;
    let unknown = || {
        let detail = "no fetch has this id: it was skipped, or is past the log's retention";
        Problem::new(Kind::NotFound, detail)
    };
    let id = JobId::new(call.parameter);
    let queued = app.wiring.inspector.find(id.as_str()).await?.filter(|job| job.kind == JobKind::Fetch);
    let requests = app.wiring.request_log.of_job(&id).await?;
    let feed = match &queued {
        Some(job) => FetchPayload::decode(&job.payload).ok().map(|payload| payload.feed),
        None => requests.first().map(|request| request.feed.clone()),
    };
    let state = queued.as_ref().map_or("done", |job| job.state.name());
    let feed = feed.ok_or_else(unknown)?;
    let requests = requests.into_iter().map(RequestView::from).collect();
    Ok(fresh_json(StatusCode::OK, &FetchView { id: id.to_string(), feed, state, requests }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestsQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /feeds/{name}/requests?after=&limit=`: what was asked of a feed's source, newest first.
pub(super) async fn requests(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    // A feed that was taken out of the configuration has its log for a while.
    let feed = FeedName::parse(call.parameter)
        .map_err(|_| Problem::new(Kind::UnknownFeed, "no feed has this name: GET /feeds lists them"))?;
    let query: RequestsQuery = call.query()?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(Problem::new(Kind::InvalidRequest, format!("limit: choose from 1 to {LONGEST_PAGE}")));
    }
    let page = app.wiring.request_log.list(Some(&feed), query.after.as_deref(), limit).await?;
    let requests = page.requests.into_iter().map(RequestView::from).collect();
    Ok(fresh_json(StatusCode::OK, &RequestPageView { requests, next: page.next }))
}
