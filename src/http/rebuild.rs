//! `POST /admin/rebuild`: the rankings from the ledger, at a person's wish.

use http::StatusCode;
use scorewire_core::domain::{BoardId, Micros};
use scorewire_core::ports::PortError;
use scorewire_core::rebuild;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::Wiring;
use scorewire_workers::reconcile;
use serde::{Deserialize, Serialize};

use super::auth::Scope;
use super::problem::Problem;
use super::{App, Call, Response, json_response};

/// What a rebuild did and found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RebuiltView {
    pub(crate) board: String,
    /// Users on the rebuilt board.
    pub(crate) users: u64,
    /// Only when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<VerifiedView>,
}

/// What adding up the recorded updates found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerifiedView {
    pub(crate) wrong: Vec<WrongView>,
    /// Users some of whose updates may be forgotten.
    pub(crate) undecidable: u64,
}

/// A score that the recorded updates do not add up to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrongView {
    pub(crate) user_id: i64,
    pub(crate) score: i64,
    pub(crate) recorded: i64,
}

/// Rebuilds board `main`; with `verify`, adds up its recorded updates before.
pub(crate) async fn rebuild_now(wiring: &Wiring, settings: &Settings, verify: bool) -> Result<RebuiltView, PortError> {
    let board = BoardId::main();
    let verified = if verify {
        let retention_us = i64::try_from(settings.retention.0.as_micros()).unwrap_or(i64::MAX);
        let retained_from = Micros(wiring.clock.now().0.saturating_sub(retention_us));
        Some(rebuild::verify(wiring.ledger.as_ref(), &board, retained_from).await?)
    } else {
        None
    };
    let users = reconcile::rebuild(wiring, &board).await?;
    Ok(RebuiltView {
        board: board.to_string(),
        users,
        verified: verified.map(|verified| VerifiedView {
            wrong: verified
                .wrong
                .iter()
                .map(|w| WrongView { user_id: w.user.get(), score: w.score, recorded: w.recorded })
                .collect(),
            undecidable: verified.undecidable,
        }),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RebuildQuery {
    #[serde(default)]
    verify: bool,
}

/// `POST /admin/rebuild`.
pub(super) async fn rebuild(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let query: RebuildQuery = call.query()?;
    let rebuilt = rebuild_now(&app.wiring, &app.settings, query.verify).await?;
    Ok(json_response(StatusCode::OK, &rebuilt))
}
