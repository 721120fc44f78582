//! Which origins' pages are trusted: exact ones, all below a name, or any.

use std::fmt;
use std::str::FromStr;

/// An entry of the list of origins: `https://app.example`, `https://*.example.com` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every origin.
    Any,
    /// This one, as browsers write it.
    Exactly(String),
    /// Every name below another: one label or more in place of the star.
    Below {
        /// What the origin begins with, `://` included.
        scheme: String,
        /// What it ends with: a dot, the name, and the port where it is not the scheme's own.
        suffix: String,
    },
}

impl OriginPattern {
    /// Whether this entry names an origin and not just any.
    #[must_use]
    pub fn names(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Exactly(exact) => exact == origin,
            Self::Below { scheme, suffix } => origin
                .strip_prefix(scheme.as_str())
                .and_then(|host| host.strip_suffix(suffix.as_str()))
                .is_some_and(|labels| labels.split('.').all(is_label)),
        }
    }
}

/// Whether this may stand between two dots of a host's name, as browsers write it.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

fn is_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text.split('.').all(is_label),
    }
}

/// A host and its port, which browsers leave out where it is the scheme's own; `None` when it is no number.
fn without_usual_port(scheme: &str, authority: &str) -> Option<(String, String)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let usual = matches!((scheme, port), ("https", Some(443)) | ("http", Some(80)));
    let port = port.filter(|_| !usual).map(|port| format!(":{port}")).unwrap_or_default();
    Some((host.to_owned(), port))
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("{text:?} {why}: write an origin like https://app.example, https://*.example.com or *");
        if text == "*" {
            return Ok(Self::Any);
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        if !is_scheme(scheme) {
            return Err(wrong("has no scheme that can be one"));
        }
        if authority.contains('/') {
            return Err(wrong("has a path, which no origin has"));
        }
        let (host, port) = without_usual_port(scheme, authority).ok_or_else(|| wrong("has a port that is none"))?;
        let below = host.strip_prefix("*.");
        if !is_host(below.unwrap_or(&host)) {
            let why = if host.contains('*') { "has a * that is not the whole first label" } else { "has no host" };
            return Err(wrong(why));
        }
        Ok(match below {
            Some(name) => Self::Below { scheme: format!("{scheme}://"), suffix: format!(".{name}{port}") },
            None => Self::Exactly(format!("{scheme}://{host}{port}")),
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exactly(origin) => f.write_str(origin),
            Self::Below { scheme, suffix } => write!(f, "{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> OriginPattern {
        text.parse().expect("an origin")
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let below = pattern("https://*.example.com");
        for origin in ["https://a.example.com", "https://a.b.example.com", "https://a-b_1.example.com"] {
            assert!(below.names(origin), "{origin}");
        }
        assert!(pattern("http://*.localhost:8080").names("http://app.localhost:8080"));
        assert!(pattern("https://*.example.com:443").names("https://a.example.com"), "as browsers write it");
    }

    #[test]
    fn a_wildcard_is_not_talked_into_anything_else() {
        let below = pattern("https://*.example.com");
        for hostile in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://example.com.evil.org",
            "https://a.example.com.evil.org",
            "https://evil-example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:444",
            "https://a.example.com:443",
            "https://evil.org/.example.com",
            "https://evil.org#.example.com",
            "https://evil.org?.example.com",
            "https://evil.org\\.example.com",
            "https://evil.org@a.example.com",
            "https://evil.org:1.example.com",
            "https://*.example.com",
            "https://A.example.com",
            "https://a.example.com/",
            "https://a.example.com ",
            "https://é.example.com",
            "xhttps://a.example.com",
            "https://https://a.example.com",
            "null",
            "*",
            "",
        ] {
            assert!(!below.names(hostile), "{hostile}");
        }
        assert!(!OriginPattern::Any.names("https://a.example.com"), "any is not this one");
    }

    #[test]
    fn entries_print_as_they_are_meant() {
        for (text, printed) in [
            ("*", "*"),
            ("HTTPS://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(pattern(text).to_string(), printed);
            assert_eq!(pattern(printed), pattern(text));
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_at_the_start() {
        for bad in [
            "app.example",
            "null",
            "https://",
            "https://*",
            "https://*example.com",
            "https://a.*.example.com",
            "https://*.*.example.com",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example:port",
            "https://a.example:99999",
            "https://a b.example",
            "https://user@a.example",
            "://a.example",
            "https://*.",
        ] {
            assert!(bad.parse::<OriginPattern>().is_err_and(|said| said.contains("https://*.example.com")), "{bad}");
        }
    }
}
