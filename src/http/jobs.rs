//! `/admin/jobs`: a person looks at jobs, and decides about those that were given up on.

use http::StatusCode;
use scorewire_core::dead_letters::{self, Verdict};
use scorewire_core::ports::{JobCursor, JobKind, JobPage, JobRecord, JobState, QueueStats};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::Scope;
use super::problem::{Kind, Problem};
use super::scores::rfc3339;
use super::{App, Call, Response, fresh_json};

/// Jobs in one answer, if the request does not say, and at most.
const PAGE: usize = 100;

/// A job as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) job: String,
    /// How many updates it carries; `null` when it can not be read, and for any other kind than scores.
    pub(crate) updates: Option<usize>,
    pub(crate) attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) died_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    /// What it carries; text where it is no JSON. Only where one job is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Value>,
}

/// A page of `GET /admin/jobs`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JobPageView {
    pub(crate) jobs: Vec<JobView>,
    /// `?after=` of the next page; `null` at the end.
    pub(crate) next: Option<String>,
}

/// Dead letters that were decided about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DecidedView {
    pub(crate) ids: Vec<String>,
    /// `?after=` of the next page; `null` at the end.
    pub(crate) next: Option<String>,
}

/// How full a queue is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsView {
    /// Jobs that are not finished.
    pub(crate) depth: u64,
    /// Age of the oldest of them.
    pub(crate) oldest_seconds: f64,
    /// Dead letters.
    pub(crate) dead: u64,
}

impl From<JobRecord> for JobView {
    fn from(job: JobRecord) -> Self {
        Self {
            id: job.id,
            state: job.state.name().to_owned(),
            kind: job.kind.name().to_owned(),
            job: job.job.to_string(),
            updates: job.updates,
            attempts: job.attempts,
            accepted_at: job.accepted_at.map(rfc3339),
            due: job.due.map(rfc3339),
            died_at: job.died_at.map(rfc3339),
            last_error: job.last_error,
            payload: None,
        }
    }
}

impl JobView {
    /// The job with what it carries.
    pub(crate) fn whole(job: JobRecord) -> Self {
        let text = || Value::from(String::from_utf8_lossy(&job.payload));
        let payload = Some(serde_json::from_slice(&job.payload).unwrap_or_else(|_| text()));
        Self { payload, ..Self::from(job) }
    }
}

impl From<JobPage> for JobPageView {
    fn from(page: JobPage) -> Self {
        let next = page.next.map(|next| next.to_string());
        Self { jobs: page.jobs.into_iter().map(JobView::from).collect(), next }
    }
}

impl From<QueueStats> for StatsView {
    fn from(stats: QueueStats) -> Self {
        Self { depth: stats.depth, oldest_seconds: stats.oldest.as_secs_f64(), dead: stats.dead }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    kind: Option<String>,
    state: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    fn kind(&self) -> Result<JobKind, Problem> {
        kind(self.kind.as_deref())
    }

    fn state(&self) -> Result<Option<JobState>, Problem> {
        self.state.as_deref().map(str::parse).transpose().map_err(|why: String| invalid("state", why))
    }

    fn after(&self) -> Result<Option<JobCursor>, Problem> {
        self.after.as_deref().map(str::parse).transpose().map_err(|why| invalid("after", why))
    }

    fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(PAGE) {
            limit @ 1..=PAGE => Ok(limit),
            _ => Err(invalid("limit", format!("a number from 1 to {PAGE}"))),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatsQuery {
    kind: Option<String>,
}

/// Scores, if none is said.
fn kind(word: Option<&str>) -> Result<JobKind, Problem> {
    word.map_or(Ok(JobKind::Scores), |word| word.parse().map_err(|why: String| invalid("kind", why)))
}

/// `GET /admin/jobs?kind=scores&state=dead&after=<next>&limit=100`: jobs in a state, dead letters if none is said.
pub(super) async fn list(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let query: PageQuery = call.query()?;
    let state = query.state()?.unwrap_or(JobState::Dead);
    let page = app.wiring.inspector.list(query.kind()?, state, query.after()?.as_ref(), query.limit()?).await?;
    Ok(fresh_json(StatusCode::OK, &JobPageView::from(page)))
}

/// `GET /admin/jobs/stats?kind=scores`: how full the queue is.
pub(super) async fn stats(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let query: StatsQuery = call.query()?;
    let stats = app.wiring.queue.stats(kind(query.kind.as_deref())?).await?;
    Ok(fresh_json(StatusCode::OK, &StatsView::from(stats)))
}

/// `GET /admin/jobs/{id}`: a dead letter or unfinished job with what it carries.
pub(super) async fn find(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let unknown = || Problem::new(Kind::NotFound, "no dead letter, unfinished job or update in one has this id");
    let job = app.wiring.inspector.find(call.parameter).await?.ok_or_else(unknown)?;
    Ok(fresh_json(StatusCode::OK, &JobView::whole(job)))
}

/// `POST /admin/jobs/{id}/retry` and `DELETE /admin/jobs/{id}`: decides about a dead letter.
pub(super) async fn decide_one(app: &App, call: &Call<'_>, verdict: Verdict) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let ids = dead_letters::decide(&*app.wiring.inspector, verdict, &[call.parameter.to_owned()]).await?;
    if ids.is_empty() {
        let detail = "no dead letter has this id: it may have been retried or discarded before";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    Ok(fresh_json(status(verdict), &DecidedView { ids, next: None }))
}

/// `POST /admin/jobs/retry?state=dead` and `DELETE /admin/jobs?state=dead`: decides about a page of dead letters of a
/// kind.
pub(super) async fn decide_page(app: &App, call: &Call<'_>, verdict: Verdict) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let query: PageQuery = call.query()?;
    // Said in so many words, so that nobody decides about all of them by leaving out an id.
    if query.state()? != Some(JobState::Dead) {
        return Err(invalid("state", "write ?state=dead to decide about all dead letters"));
    }
    let (kind, after, limit) = (query.kind()?, query.after()?, query.limit()?);
    let (ids, next) = dead_letters::decide_page(&*app.wiring.inspector, verdict, kind, after.as_ref(), limit).await?;
    Ok(fresh_json(status(verdict), &DecidedView { ids, next: next.map(|next| next.to_string()) }))
}

const fn status(verdict: Verdict) -> StatusCode {
    match verdict {
        Verdict::Retry => StatusCode::ACCEPTED,
        Verdict::Discard => StatusCode::OK,
    }
}

fn invalid(parameter: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::InvalidRequest, format!("{parameter}: {why}"))
}
