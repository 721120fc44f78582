//! Who may watch which topics, and how a token gets here from programs that can not set headers.
//!
//! A browser's `EventSource` and `WebSocket` send no `Authorization`, so streams take a token from the query or from
//! a cookie, too. URLs end up in logs and histories: only stream tokens, which end soon, may stand there. Cookies
//! are sent by whatever page asks: they count only where the page is trusted. Neither counts for anything else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use scorewire_core::domain::{Subject, TopicName};
use scorewire_core::settings::units::StreamAccess;

use super::auth::{Caller, TopicPattern, bearer, unauthorized};
use super::problem::{Kind, Problem};
use super::{App, Call};

const PARAMETER: &str = "access_token";
const COOKIE: &str = "scorewire_token";

/// Who watches, and what it may watch.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    /// `None` without a token.
    pub(crate) subject: Option<Subject>,
    /// When its token ends, and its streams with it; leeway included, so that who comes back is refused.
    pub(crate) expires: Option<SystemTime>,
    /// The topics it may watch.
    pub(crate) patterns: Vec<TopicPattern>,
}

impl Watcher {
    /// Whether it may watch a topic.
    pub(crate) fn may(&self, topic: &TopicName) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    fn must(&self, topic: &TopicName) -> Result<(), Problem> {
        if self.may(topic) {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, format!("watching {topic} needs the scope stream:{topic}")))
    }
}

/// Who sent a request for a stream of these topics; fails unless it may watch them all.
///
/// # Errors
/// `unauthorized` where a token is needed or the one presented can not be used, `forbidden` where its scopes do not
/// cover a topic, `origin-not-allowed` where the only token is a cookie from a page that is not trusted.
pub(super) fn watcher(app: &App, call: &Call<'_>, topics: &[TopicName]) -> Result<Watcher, Problem> {
    let caller = presented(app, call)?;
    let public = app.settings.streams == StreamAccess::Public;
    let watcher = match caller {
        Some(caller) => Watcher {
            subject: Some(caller.subject.clone()),
            expires: UNIX_EPOCH.checked_add(Duration::from_secs(caller.until)),
            patterns: watchable(app, &caller),
        },
        None if public => Watcher { subject: None, expires: None, patterns: vec![TopicPattern::all()] },
        None if cookie(call.headers).is_some() => {
            let detail = "the cookie is not believed from this origin: list it by name in cors_origins";
            return Err(Problem::new(Kind::OriginNotAllowed, detail));
        }
        None => {
            let detail = "streams need a token: Authorization: Bearer <JWT>, the cookie scorewire_token, or \
                          ?access_token= with a token from POST /stream-tokens";
            return Err(unauthorized(detail, false));
        }
    };
    topics.iter().try_for_each(|topic| watcher.must(topic))?;
    Ok(watcher)
}

/// The topics a caller may watch.
pub(super) fn watchable(app: &App, caller: &Caller) -> Vec<TopicPattern> {
    match app.settings.streams {
        StreamAccess::Public => vec![TopicPattern::all()],
        StreamAccess::Token => caller.watchable(),
    }
}

/// Whom the token of a request names, if it has one: the header's before the query's before the cookie's.
fn presented(app: &App, call: &Call<'_>) -> Result<Option<Arc<Caller>>, Problem> {
    if let Some(token) = bearer(call.headers)? {
        return app.tokens.verify(token).map(Some);
    }
    if let Some(token) = in_query(call.query)? {
        let caller = app.tokens.verify(&token)?;
        if !caller.for_streams {
            let detail =
                "only a stream token may stand in a URL, which ends up in logs: get one from POST /stream-tokens";
            return Err(unauthorized(detail, true));
        }
        return Ok(Some(caller));
    }
    match cookie(call.headers) {
        Some(token) if app.cors.believes_cookies(call.headers) => app.tokens.verify(token).map(Some),
        _ => Ok(None),
    }
}

/// The token of a query, if it has one.
fn in_query(query: &str) -> Result<Option<String>, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut tokens = pairs.into_iter().filter(|(name, _)| name == PARAMETER).map(|(_, token)| token);
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        (_, Some(_)) => Err(Problem::new(Kind::InvalidRequest, "access_token: send one")),
    }
}

/// The token among the cookies, if there is one; of several the first, which is the one of the narrowest path.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then(|| value.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let found = |cookies: &'static [&'static str]| {
            let headers = cookies.iter().map(|text| (header::COOKIE, HeaderValue::from_static(text)));
            let headers: HeaderMap = headers.collect();
            cookie(&headers).map(str::to_owned)
        };
        assert_eq!(found(&["a=b; scorewire_token=t.o.k; c=d"]).as_deref(), Some("t.o.k"));
        assert_eq!(found(&["a=b", "scorewire_token=\"t\""]).as_deref(), Some("t"), "HTTP/2 splits cookies");
        assert_eq!(found(&["scorewire_token=1; scorewire_token=2"]).as_deref(), Some("1"));
        for none in ["a=scorewire_token=x", "xscorewire_token=x", "scorewire_token", "", ";;=;"] {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(none))]);
            assert_eq!(cookie(&headers), None, "{none}");
        }
    }

    #[test]
    fn a_query_has_one_token_at_most() {
        let found = |query: &str| in_query(query).map_err(|_| ());
        assert_eq!(found("since=5&access_token=a.b-c_d"), Ok(Some("a.b-c_d".to_owned())));
        assert_eq!(found("access_token=%61"), Ok(Some("a".to_owned())));
        assert_eq!(found("access_token="), Ok(Some(String::new())), "an empty one is none that can be used");
        assert_eq!(found("since=5&token=x"), Ok(None));
        assert_eq!(found("access_token=a&access_token=a"), Err(()));
    }
}
