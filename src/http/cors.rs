//! Cross-origin requests: which pages of other sites may call the API, and with which of a visitor's credentials.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};
use scorewire_core::settings::OriginPattern;

/// The allowed origins.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    any: bool,
    named: Vec<OriginPattern>,
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
);

impl Cors {
    pub(crate) fn new(origins: &[OriginPattern]) -> Self {
        let named = origins.iter().filter(|origin| **origin != OriginPattern::Any).cloned().collect();
        Self { any: origins.contains(&OriginPattern::Any), named }
    }

    /// Adds what a response to a request with these headers needs.
    ///
    /// Only an origin that is named may send cookies and read what they open; "any" never has credentials.
    pub(crate) fn write(&self, request: &HeaderMap, response: &mut HeaderMap, preflight: bool) {
        if !self.any || !self.named.is_empty() {
            // The answer depends on the origin even where it is refused.
            response.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = request.get(header::ORIGIN) else { return };
        if self.is_named(origin) {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else if self.any {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            return;
        }
        if preflight {
            response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        } else {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// Whether a page may open a WebSocket. Browsers ask nobody before they do, so the server must look.
    pub(super) fn allows_upgrade(&self, headers: &HeaderMap) -> bool {
        self.any || self.believes_cookies(headers)
    }

    /// Whether a cookie is sent by the will of its owner: by our own page, by one of an origin that is named, or by
    /// a program that is no browser.
    pub(super) fn believes_cookies(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => is_same_origin(origin, headers) || self.is_named(origin),
            (Some(_), Some(_)) => false,
        }
    }

    fn is_named(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.named.iter().any(|named| named.names(origin)))
    }
}

/// Whether a page's host is the one it asks. Its scheme is not compared: behind a proxy that ends TLS, ours differs.
fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
    let Some((origin, host)) = text(origin).zip(headers.get(header::HOST).and_then(text)) else { return false };
    let Some((scheme, page)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    let place = |text: &str| {
        let authority = text.parse::<Authority>().ok().filter(|_| !text.contains('@'))?;
        Some((authority.host().to_owned(), authority.port_u16().unwrap_or(usual)))
    };
    place(page).is_some_and(|page| Some(page) == place(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &str) -> Cors {
        let origins: Vec<OriginPattern> = origins.split(' ').map(|o| o.parse().expect("an origin")).collect();
        Cors::new(&origins)
    }

    fn headers(origin: Option<&'static str>, host: &'static str) -> HeaderMap {
        let origin = origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin)));
        origin.into_iter().chain([(header::HOST, HeaderValue::from_static(host))]).collect()
    }

    #[test]
    fn our_own_pages_are_known_by_their_host() {
        let cors = cors("https://named.example");
        for (origin, host) in [
            ("https://a.example", "a.example"),
            ("https://a.example", "a.example:443"),
            ("http://a.example:3000", "A.example:3000"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("https://named.example", "a.example"),
        ] {
            assert!(cors.believes_cookies(&headers(Some(origin), host)), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://a.example", "b.example"),
            ("https://a.example:444", "a.example"),
            ("http://a.example", "a.example:443"),
            ("http://a.example:3000", "a.example:3001"),
            ("https://evil.example@a.example", "a.example"),
            ("https://a.example.evil.example", "a.example"),
            ("https://a.example/", "a.example"),
            ("chrome-extension://a.example", "a.example"),
            ("null", "null"),
            ("null", ""),
            ("", ""),
            ("https://", ""),
        ] {
            assert!(!cors.believes_cookies(&headers(Some(origin), host)), "{origin} {host}");
        }
        assert!(cors.believes_cookies(&headers(None, "a.example")), "no browser, or one that asks its own site");
    }

    #[test]
    fn two_origins_are_none() {
        let mut twice = headers(Some("https://a.example"), "a.example");
        twice.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(!cors("https://a.example").believes_cookies(&twice));
    }

    #[test]
    fn any_origin_is_trusted_with_no_credentials() {
        let foreign = headers(Some("https://evil.example"), "a.example");
        assert!(!cors("*").believes_cookies(&foreign));
        let both = cors("* https://*.a.example");
        for (origin, allowed, credentials) in
            [("https://evil.example", "*", false), ("https://x.a.example", "https://x.a.example", true)]
        {
            let mut response = HeaderMap::new();
            both.write(&headers(Some(origin), "a.example"), &mut response, false);
            assert_eq!(response[header::ACCESS_CONTROL_ALLOW_ORIGIN], allowed);
            assert_eq!(response.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), credentials);
            assert_eq!(response[header::VARY], "Origin", "the answers differ");
        }
    }
}
