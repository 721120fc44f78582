//! A feed's own stream: its values as server-sent events of the default type, on its beat.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use scorewire_core::domain::TopicName;
use scorewire_core::settings::Feed;
use scorewire_core::settings::units::Span;

use super::problem::{Kind, Problem};
use super::streams::{StreamQuery, Wish, events};
use super::{App, Call, Response, feeds};
use crate::live::{Follow, Form, Pace};

/// `GET /feeds/{name}/stream`.
pub(super) async fn named(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let name = percent_decode_str(call.parameter).decode_utf8_lossy();
    events(app, call, feeds::named(app, &name).and_then(|feed| wish(call, feed))).await
}

/// `GET /stream`: the default feed's.
pub(super) async fn default(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    events(app, call, feeds::default(app).and_then(|feed| wish(call, feed))).await
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
