//! Probes, metrics, and what a problem's slug means.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use scorewire_core::ports::{JobKind, PortError};
use serde::Serialize;

use super::problem::{Kind, Problem};
use super::{App, Call, Response, feeds, json_response};

/// Whoever asks for readiness usually gives up after a second, and takes the process out of service.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Default, Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'static str>,
}

/// `GET /healthz`: the process answers.
pub(super) fn live() -> Response {
    json_response(StatusCode::OK, &Status { status: "ok", ..Status::default() })
}

/// `GET /readyz`: the worker gets anywhere, ledger and queue answer, the server is not stopping. A process that shares
/// them with others stays ready while they are away, and says so: taking all of a fleet out of service would take the
/// readers' last answers away, too.
pub(super) async fn ready(app: &App) -> Response {
    let wiring = &app.wiring;
    let (ledger, queue) = tokio::join!(trouble(wiring.ledger.probe()), trouble(wiring.queue.stats(JobKind::Scores)));
    let mut status = Status {
        status: "ready",
        worker: app.health.as_ref().and_then(|health| health.check().err()),
        ledger,
        queue,
        server: app.hub_closing.is_cancelled().then_some("stopping"),
    };
    let troubled = status.worker.is_some() || status.ledger.is_some() || status.queue.is_some();
    let ready = status.server.is_none() && (!troubled || wiring.is_distributed());
    status.status = match (ready, troubled) {
        (true, false) => "ready",
        (true, true) => "degraded",
        (false, _) => "not ready",
    };
    json_response(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &status)
}

/// What is wrong with something that is asked, if anything; no answer in time is wrong, too.
async fn trouble<T>(asked: impl Future<Output = Result<T, PortError>>) -> Option<String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.err().map(|error| error.to_string()),
        Err(_) => Some(format!("gave no answer within {PATIENCE:?}")),
    }
}

/// `GET /metrics`: OpenMetrics text.
pub(super) async fn metrics(app: &App) -> Result<Response, Problem> {
    // While feeds can not be looked at, they are shown as they last were.
    let _ = tokio::time::timeout(PATIENCE, feeds::observe(app)).await;
    let text = app.wiring.metrics.encode().map_err(|e| Problem::new(Kind::Internal, e.to_string()))?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    Ok(response)
}

#[derive(Serialize)]
struct Described {
    slug: &'static str,
    status: u16,
    title: &'static str,
    meaning: &'static str,
}

/// `GET /problems/{slug}`: what a problem's `type` means.
pub(super) fn describe_problem(call: &Call<'_>) -> Result<Response, Problem> {
    let (slug, status, title, meaning) = Kind::ALL
        .iter()
        .find(|(slug, ..)| *slug == call.parameter)
        .ok_or_else(|| Problem::new(Kind::NotFound, "no problem has this slug"))?;
    let described = Described { slug, status: status.as_u16(), title, meaning: meaning.trim() };
    Ok(json_response(StatusCode::OK, &described))
}
