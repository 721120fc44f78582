//! `/feeds`: what is polled, its newest value and its history.

use http::{HeaderValue, StatusCode, header};
use scorewire_core::domain::{FeedName, Lost, Message, Position, TopicName};
use scorewire_core::feed_shelf::Shown;
use scorewire_core::feed_status::FeedStatus;
use scorewire_core::settings::Feed;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::{Kind, Problem};
use super::scores::rfc3339;
use super::{App, Call, Response, accept, access, assets, fresh_json};

/// Messages in one answer, if the request does not say, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
/// Looks at a ring that keeps losing its oldest messages meanwhile.
const LOOKS: usize = 3;

#[derive(Serialize)]
struct FeedsView {
    default: Option<FeedName>,
    feeds: Vec<FeedView>,
}

/// A feed as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeedView {
    name: FeedName,
    topic: String,
    /// The newest message as viewers got it; `null` before the first.
    value: Option<Box<RawValue>>,
    /// The message's id; `null` before the first.
    id: Option<String>,
    stale: bool,
    /// Since the source last confirmed the value.
    age_seconds: Option<f64>,
    checked_at: Option<String>,
    changed_at: Option<String>,
    fetch_seconds: f64,
    /// 0: only when it changes.
    transmit_seconds: f64,
    failure: Option<FailureView>,
    /// The source is left alone until then.
    rests_until: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureView {
    reason: String,
    message: String,
    at: String,
    in_row: u32,
}

#[derive(Serialize)]
struct HistoryView {
    feed: FeedName,
    /// Oldest first.
    messages: Vec<MessageView>,
    /// Everything since the time asked for is kept.
    complete: bool,
    /// `?after=` of the next page; `null` at the end.
    next: Option<String>,
}

#[derive(Serialize)]
struct MessageView {
    id: String,
    #[serde(flatten)]
    message: Sent,
}

/// A message's data, as it was sent.
#[derive(Serialize, Deserialize)]
struct Sent {
    timestamp: i64,
    data: Box<RawValue>,
}

/// The feed of this name.
///
/// # Errors
/// `unknown-feed` says where the names are.
pub(super) fn named<'a>(app: &'a App, name: &str) -> Result<&'a Feed, Problem> {
    let found = app.wiring.feeds.iter().find(|feed| feed.name.as_str() == name);
    found.ok_or_else(|| Problem::new(Kind::UnknownFeed, "there is no feed of this name: choose one of GET /feeds"))
}

/// The feed that requests mean which name none.
///
/// # Errors
/// `unknown-feed` where no feed is configured.
pub(super) fn default(app: &App) -> Result<&Feed, Problem> {
    match &app.settings.default_feed.0 {
        Some(name) => named(app, name.as_str()),
        None => app.wiring.feeds.first().ok_or_else(|| {
            let detail = "no feed is configured: write [[feeds]] in the settings file, or set SOURCE_URL";
            Problem::new(Kind::UnknownFeed, detail)
        }),
    }
}

async fn view(app: &App, feed: &Feed) -> Result<FeedView, Problem> {
    let Shown { stored, remembered } = app.wiring.feed_shelf.read(&feed.name).await?;
    let now = app.wiring.clock.now();
    let status = FeedStatus::of(feed, &stored, &feed.patience(&app.settings), now);
    let latest = stored.latest.as_deref();
    let failure = stored.note.failure.as_ref();
    Ok(FeedView {
        name: feed.name.clone(),
        topic: TopicName::of_feed(&feed.name).to_string(),
        value: latest.and_then(|message| RawValue::from_string(message.data.to_string()).ok()),
        id: latest.map(|_| stored.position.to_string()),
        stale: status.stale || remembered,
        age_seconds: status.age.map(|age| age.as_secs_f64()),
        checked_at: stored.note.checked_at.map(rfc3339),
        changed_at: latest.map(|message| rfc3339(message.at)),
        fetch_seconds: feed.fetch_every.as_secs_f64(),
        transmit_seconds: feed.transmit_every.unwrap_or_default().as_secs_f64(),
        failure: failure.map(|failure| FailureView {
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            at: rfc3339(failure.at),
            in_row: failure.in_row,
        }),
        rests_until: status.rests_until.map(rfc3339),
    })
}

/// Shows the metrics how every feed is now.
pub(super) async fn observe(app: &App) {
    for feed in app.wiring.feeds.iter() {
        let Ok(Shown { stored, remembered }) = app.wiring.feed_shelf.read(&feed.name).await else { continue };
        let now = app.wiring.clock.now();
        let status = FeedStatus::of(feed, &stored, &feed.patience(&app.settings), now);
        let failures = stored.note.failure.as_ref().map_or(0, |failure| failure.in_row);
        app.wiring.metrics.feeds.observe(&feed.name, stored.note.checked_at, status.stale || remembered, failures);
    }
}

/// `GET /feeds`: every feed that the caller may watch; for a browser, the page.
pub(super) async fn list(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let mut response = if accept::wants_html(call.headers) {
        assets::feeds_page(call)
    } else {
        let watcher = access::watcher(app, call, &[])?;
        let mut feeds = Vec::new();
        for feed in app.wiring.feeds.iter().filter(|feed| watcher.may(&TopicName::of_feed(&feed.name))) {
            feeds.push(view(app, feed).await?);
        }
        let default = default(app).ok().map(|feed| feed.name.clone());
        fresh_json(StatusCode::OK, &FeedsView { default, feeds })
    };
    // The same address answers JSON and a page: neither may be stored for the other.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// `GET /feeds/{name}`: a feed with its newest value.
pub(super) async fn find(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let feed = watched(app, call)?;
    Ok(fresh_json(StatusCode::OK, &view(app, feed).await?))
}

/// The feed that a request names, if its sender may watch it.
fn watched<'a>(app: &'a App, call: &Call<'_>) -> Result<&'a Feed, Problem> {
    let feed = named(app, call.parameter)?;
    access::watcher(app, call, &[TopicName::of_feed(&feed.name)])?;
    Ok(feed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    since: Option<i64>,
    after: Option<String>,
    limit: Option<usize>,
    // Looked at by whoever checks what the caller may watch.
    #[serde(rename = "access_token")]
    _access_token: Option<String>,
}

/// `GET /feeds/{name}/history?since=&after=&limit=`: what the ring holds, oldest first; without a place the newest.
pub(super) async fn history(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let feed = watched(app, call)?;
    let query: HistoryQuery = call.query()?;
    let invalid = |why: String| Problem::new(Kind::InvalidRequest, why);
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: choose from 1 to {LONGEST_PAGE}")));
    }
    let after: Option<Position> =
        query.after.as_deref().map(str::parse).transpose().map_err(|e| invalid(format!("after: {e}")))?;
    if after.is_some() && query.since.is_some() {
        return Err(invalid("since and after: send one of them".to_owned()));
    }
    let (place, messages, complete) = kept(app, &TopicName::of_feed(&feed.name), query.since, after, limit).await?;
    let position = |message: &Message| Position { epoch: place.epoch.clone(), offset: message.offset };
    let shown = messages.iter().take(limit).filter_map(|message| {
        // What other programs wrote into the topic may have any form.
        let sent = serde_json::from_str(&message.data).ok()?;
        Some(MessageView { id: position(message).to_string(), message: sent })
    });
    let next = (messages.len() > limit).then(|| position(&messages[limit - 1]).to_string());
    Ok(fresh_json(StatusCode::OK, &HistoryView { feed: feed.name.clone(), messages: shown.collect(), complete, next }))
}

type Kept = (Position, Vec<std::sync::Arc<Message>>, bool);

/// One message more than the limit, if there are so many; and whether all since the time asked for are kept.
async fn kept(
    app: &App,
    topic: &TopicName,
    since: Option<i64>,
    after: Option<Position>,
    limit: usize,
) -> Result<Kept, Problem> {
    let topics = &app.wiring.topics;
    for _ in 0..LOOKS {
        let (place, complete) = match (since, after.clone()) {
            (_, Some(place)) => (place, true),
            (Some(second), None) => {
                let found = topics.since(topic, second).await?;
                (found.position, found.whole)
            }
            (None, None) => {
                let oldest = topics.since(topic, i64::MIN).await?.position;
                let newest = topics.position(topic).await?;
                let offset = newest.offset.saturating_sub(limit as u64).max(oldest.offset);
                (Position { offset, ..newest }, true)
            }
        };
        match topics.after(topic, &place, limit + 1).await? {
            Ok(messages) => return Ok((place, messages, complete)),
            Err(lost) if after.is_some() => {
                let detail = format!("after: {lost}: the ring no longer holds this place, begin anew");
                return Err(Problem::new(Kind::InvalidRequest, detail));
            }
            // Forgotten between the two looks.
            Err(Lost::TooOld | Lost::EpochChanged | Lost::Ahead) => {}
        }
    }
    Err(Problem::new(Kind::Unavailable, "the ring changes too fast to be read: try again"))
}
