//! A feed's own stream: its values as server-sent events of the default type, on its beat.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use scorewire_core::domain::TopicName;
use scorewire_core::settings::Feed;
use scorewire_core::settings::units::Span;

use super::problem::{Kind, Problem};
use super::streams::{StreamQuery, Wish, events};
use super::{App, Call, Response};
use crate::live::{Follow, Form, Pace};

/// `GET /feeds/{name}/stream`.
pub(super) async fn named(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let name = percent_decode_str(call.parameter).decode_utf8_lossy();
    events(app, call, find(app, &name).and_then(|feed| wish(call, feed))).await
}

/// `GET /stream`: the default feed's.
pub(super) async fn default(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    events(app, call, default_feed(app).and_then(|feed| wish(call, feed))).await
}

/// The feed of this name.
///
/// # Errors
/// `unknown-feed` says where the names are.
pub(super) fn find<'a>(app: &'a App, name: &str) -> Result<&'a Feed, Problem> {
    let found = app.wiring.feeds.iter().find(|feed| feed.name.as_str() == name);
    found.ok_or_else(|| Problem::new(Kind::UnknownFeed, "there is no feed of this name: choose one of GET /feeds"))
}

/// The feed that requests mean which name none.
///
/// # Errors
/// `unknown-feed` where no feed is configured.
pub(super) fn default_feed(app: &App) -> Result<&Feed, Problem> {
    match &app.settings.default_feed.0 {
        Some(name) => find(app, name.as_str()),
        None => app.wiring.feeds.first().ok_or_else(|| {
            let detail = "no feed is configured: write [[feeds]] in the settings file, or set SOURCE_URL";
            Problem::new(Kind::UnknownFeed, detail)
        }),
    }
}

fn wish(call: &Call<'_>, feed: &Feed) -> Result<Wish, Problem> {
    let query = StreamQuery::parse(call, false)?;
    let pace = pace(feed.transmit_every, query.every)?;
    let follow = Follow { every: None, pace: Some(pace), ..query.single(call, TopicName::of_feed(&feed.name)) };
    Ok((vec![follow], Form::Feed))
}

/// The pace of a feed's stream: its own beat, or the viewer's, which may not be faster.
fn pace(own: Option<Duration>, wished: Option<Duration>) -> Result<Pace, Problem> {
    match (own, wished) {
        (None, None) => Ok(Pace::Changes),
        (Some(beat), None) => Ok(Pace::Repeats(beat)),
        (Some(beat), Some(every)) if every < beat => {
            let detail =
                format!("every: the beat of this feed is {}: leave it out, or choose a slower one", Span(beat));
            Err(Problem::new(Kind::InvalidRequest, detail))
        }
        (own, Some(every)) => Ok(Pace::Beats { every, again: own.is_some() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_may_be_slower_than_the_feed_but_not_faster() {
        let ms = Duration::from_millis;
        let pace = |own: Option<u64>, wished: Option<u64>| pace(own.map(ms), wished.map(ms)).map_err(|_| ());
        assert_eq!(pace(None, None), Ok(Pace::Changes));
        assert_eq!(pace(Some(2_000), None), Ok(Pace::Repeats(ms(2_000))));
        assert_eq!(pace(Some(2_000), Some(2_000)), Ok(Pace::Beats { every: ms(2_000), again: true }));
        assert_eq!(pace(None, Some(20)), Ok(Pace::Beats { every: ms(20), again: false }));
        assert_eq!(pace(Some(2_000), Some(1_999)), Err(()));
    }
}
