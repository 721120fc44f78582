//! `/admin/viewers`: who is connected, and who is slow.

use std::time::Duration;

use scorewire_core::domain::Micros;
use serde::{Deserialize, Serialize};

use super::auth::Scope;
use super::problem::{Kind, Problem};
use super::scores::rfc3339;
use super::{App, Call, Response, json_response};
use crate::live::{Behind, Entry};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewersQuery {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct ViewersView {
    /// Connected to this process.
    total: usize,
    /// The slowest first.
    viewers: Vec<ViewerView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ViewerView {
    id: u64,
    transport: &'static str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    connected_at: String,
    delivered: u64,
    /// How long its connection has taken nothing.
    stalled_ms: u64,
    behind_bytes: u64,
    topics: Vec<FollowedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closing: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FollowedView {
    topic: String,
    behind_messages: u64,
    behind_bytes: u64,
    /// Age of the oldest message it has not been sent.
    behind_ms: u64,
}

fn ms_since(now: Micros, since: Option<Micros>) -> u64 {
    let since = since.map(|since| Duration::from_secs_f64(now.seconds_since(since)));
    since.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// `GET /admin/viewers`: the slowest viewers of this process.
pub(super) fn list(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Admin)?;
    let query: ViewersQuery = call.query()?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(Problem::new(Kind::InvalidRequest, "limit: choose from 1 to 1000"));
    }
    let (all, now) = (app.hub.viewers(), app.wiring.clock.now());
    let total = all.len();
    let mut viewers: Vec<_> = all.iter().map(|(id, entry)| view(*id, entry, now)).collect();
    viewers.sort_by_key(|viewer| std::cmp::Reverse((viewer.behind_bytes, viewer.stalled_ms, viewer.id)));
    viewers.truncate(limit);
    Ok(json_response(http::StatusCode::OK, &ViewersView { total, viewers }))
}

fn view(id: u64, entry: &Entry, now: Micros) -> ViewerView {
    let topics: Vec<_> = entry.behind().into_iter().collect();
    let followed = |(topic, behind): &(scorewire_core::domain::TopicName, Behind)| FollowedView {
        topic: topic.to_string(),
        behind_messages: behind.messages,
        behind_bytes: behind.bytes,
        behind_ms: ms_since(now, behind.since),
    };
    ViewerView {
        id,
        transport: entry.visitor.transport.word(),
        address: entry.visitor.address.to_string(),
        subject: entry.visitor.subject.as_ref().map(|subject| subject.as_str().to_owned()),
        connected_at: rfc3339(entry.since),
        delivered: entry.delivered(),
        stalled_ms: ms_since(now, entry.stalled_since()),
        behind_bytes: topics.iter().map(|(_, behind)| behind.bytes).sum(),
        topics: topics.iter().map(followed).collect(),
        closing: entry.ending().map(crate::live::Close::reason),
    }
}
