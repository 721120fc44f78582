//! Probes, metrics, and what a problem's slug means.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::problem::{Kind, Problem};
use super::{App, Call, Response, json_response};

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
}

/// `GET /healthz`: the process answers.
pub(super) fn live() -> Response {
    json_response(StatusCode::OK, &Status { status: "ok", worker: None, ledger: None, server: None })
}

/// `GET /readyz`: the worker gets anywhere, the ledger takes writes, the server is not stopping.
pub(super) async fn ready(app: &App) -> Response {
    let worker = app.health.check().err();
    let ledger = app.wiring.ledger.probe().await.err().map(|error| error.to_string());
    let stopping = app.hub_closing.is_cancelled();
    let ready = worker.is_none() && ledger.is_none() && !stopping;
    let (code, status) = if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let server = stopping.then_some("stopping");
    json_response(code, &Status { status, worker: worker.as_deref(), ledger: ledger.as_deref(), server })
}

/// `GET /metrics`: OpenMetrics text.
pub(super) fn metrics(app: &App) -> Result<Response, Problem> {
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
