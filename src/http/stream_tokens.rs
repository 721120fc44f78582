//! `/stream-tokens`: short-lived tokens that may stand in a URL.

use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::auth::TopicPattern;
use super::problem::{Kind, Problem};
use super::{App, Call, Response, access, json_response};

/// Topics one token may name at most.
const MOST_TOPICS: usize = 100;

/// What a token shall be good for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Patterns of topics; all that the caller may watch where none are named.
    topics: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamToken<'a> {
    token: String,
    /// RFC 3339.
    expires_at: String,
    topics: Vec<&'a str>,
}

/// `POST /stream-tokens`: a token for streams, and no wider than the caller's own.
pub(super) fn create(app: &App, call: &Call<'_>, wish: Wish) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let own = access::watchable(app, &caller);
    let topics = match wish.topics {
        None => own,
        Some(topics) => narrowed(&topics, &own)?,
    };
    if topics.is_empty() {
        let detail = "this token may watch nothing: streams need a scope like stream:scores or stream:match:*";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    // Never beyond the token it is made with.
    let life = app.settings.stream_token_life.0.as_secs();
    let end = jsonwebtoken::get_current_timestamp().saturating_add(life);
    let end = end.min(caller.until.saturating_sub(app.tokens.leeway()));
    let token = app.tokens.issue_for_streams(&caller.subject, &topics, end).map_err(|error| {
        tracing::error!(%error, request = %call.request, "a token could not be signed");
        Problem::new(Kind::Internal, "could not sign a token: the server's log says why")
    })?;
    let topics = topics.iter().map(TopicPattern::as_str).collect();
    let mut response = json_response(StatusCode::CREATED, &StreamToken { token, expires_at: rfc3339(end), topics });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What was asked for, where all of it is within the caller's own.
fn narrowed(topics: &[String], own: &[TopicPattern]) -> Result<Vec<TopicPattern>, Problem> {
    if !(1..=MOST_TOPICS).contains(&topics.len()) {
        return Err(Problem::field("topics", format!("name 1 to {MOST_TOPICS} topics, or leave it out for all")));
    }
    let parse = |(index, topic): (usize, &String)| {
        let pattern: TopicPattern =
            topic.parse().map_err(|why: String| Problem::field(format!("topics[{index}]"), why))?;
        if own.iter().any(|wide| wide.covers(&pattern)) {
            return Ok(pattern);
        }
        Err(Problem::new(Kind::Forbidden, format!("watching {pattern} needs the scope stream:{pattern}")))
    };
    topics.iter().enumerate().map(parse).collect()
}

/// A Unix second; one too late to be written is the last that can be.
fn rfc3339(second: u64) -> String {
    /// 9999-12-31T23:59:59Z
    const LAST: u64 = 253_402_300_799;
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second.min(LAST));
    humantime::format_rfc3339_seconds(at).to_string()
}
