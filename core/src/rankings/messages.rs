//! The messages a board's topic carries: the same whatever keeps the rankings.

use std::sync::Arc;

use serde::Serialize;

use crate::domain::{Event, NewMessage, Ranked};
use crate::ports::BoardRow;

#[derive(Serialize)]
struct Update<'a> {
    user: &'a str,
    score: i64,
    #[serde(rename = "userId")]
    user_id: i64,
    rank: u64,
    increment: i128,
}

/// The row as API and topic show it.
pub(super) fn row(ranked: &Ranked<'_>) -> BoardRow {
    BoardRow {
        rank: ranked.rank,
        user_id: ranked.user.get(),
        user: ranked.entry.name.as_str().to_owned(),
        score: ranked.entry.score,
    }
}

/// `update`: a user's new absolute score, its rank now, and by how much it changed since last published.
pub(super) fn update(ranked: &Ranked<'_>, difference: i128) -> NewMessage {
    let update = Update {
        user: ranked.entry.name.as_str(),
        score: ranked.entry.score,
        user_id: ranked.user.get(),
        rank: ranked.rank,
        increment: difference,
    };
    NewMessage { event: Event::Update, data: json(&update) }
}

/// `top`: the whole top of the board.
pub(super) fn top(rows: &Arc<str>) -> NewMessage {
    NewMessage { event: Event::Top, data: Arc::clone(rows) }
}

/// One line of JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Arc<str> {
    // Plain structs of strings and numbers always serialise.
    serde_json::to_string(value).unwrap_or_else(|e| unreachable!("a row serialises: {e}")).into()
}
