//! The address of a source, which prints without its secrets.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Parts of words that mark a query parameter as a secret.
const MARKS: [&str; 10] = ["key", "token", "secret", "pass", "pwd", "auth", "sig", "credential", "session", "appid"];
const HIDDEN: &str = "***";

/// An `http` or `https` URL. Printing it, also for debugging, leaves out user, password, fragment and the values of
/// query parameters whose names look like those of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl(Url);

impl SourceUrl {
    /// The whole URL, secrets included: for the request, never for a log.
    #[must_use]
    pub const fn with_secrets(&self) -> &Url {
        &self.0
    }

    /// Where a redirect of this URL leads.
    ///
    /// # Errors
    /// Says what is wrong with the place it names.
    pub fn join(&self, location: &str) -> Result<Self, String> {
        self.0.join(location).map_err(|e| e.to_string())?.as_str().parse()
    }

    /// Whether both have the same scheme, host and port.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Whether what is sent there is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for SourceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text itself may hold a secret and is not quoted.
        let url = Url::parse(text).map_err(|e| format!("{e}: write a URL like https://api.example.com/v1/score"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(format!("{other} is no scheme of a source: use http or https")),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        url.set_fragment(None);
        if !url.username().is_empty() || url.password().is_some() {
            // Only URLs without a host refuse, and those of sources have one.
            let _ = url.set_password(None);
            let _ = url.set_username(HIDDEN);
        }
        let Some(query) = self.0.query() else { return f.write_str(url.as_str()) };
        let parameters: Vec<String> = query.split('&').map(printable).collect();
        url.set_query(Some(&parameters.join("&")));
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A query parameter as it may be printed.
fn printable(parameter: &str) -> String {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    // As the source will read it: a name may be written with percent signs.
    let read = url::form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
    let secret = read.is_some_and(|name| MARKS.iter().any(|mark| name.contains(mark)));
    if secret && !value.is_empty() { format!("{name}={HIDDEN}") } else { parameter.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(url: &str) -> String {
        url.parse::<SourceUrl>().expect("a URL").to_string()
    }

    #[test]
    fn a_url_prints_without_its_secrets() {
        for (url, said) in [
            ("https://a.example/x?market=cadli&api_key=S3", "https://a.example/x?market=cadli&api_key=***"),
            ("https://ann:S3@a.example/x", "https://***@a.example/x"),
            ("https://S3@a.example/x#S3", "https://***@a.example/x"),
            ("https://a.example/?Access-Token=S3&a=1", "https://a.example/?Access-Token=***&a=1"),
            ("https://a.example/?%61pikey=S3", "https://a.example/?%61pikey=***"),
            ("https://a.example/users/2", "https://a.example/users/2"),
            ("https://a.example/?instruments=BTC-USD", "https://a.example/?instruments=BTC-USD"),
        ] {
            assert_eq!(printed(url), said);
            assert_eq!(format!("{:?}", url.parse::<SourceUrl>().expect("a URL")), said);
        }
    }

    #[test]
    fn only_http_is_fetched() {
        for bad in ["", "a.example", "ftp://a.example/", "file:///etc/passwd", "https://"] {
            assert!(bad.parse::<SourceUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_stays_or_leaves() {
        let here: SourceUrl = "https://a.example/x".parse().expect("a URL");
        assert!(here.same_origin(&here.join("/y?z").expect("a place")));
        for elsewhere in ["https://b.example/x", "http://a.example/x", "https://a.example:8443/x", "//b.example/x"] {
            assert!(!here.same_origin(&here.join(elsewhere).expect("a place")), "{elsewhere}");
        }
        assert!(here.join("file:///etc/passwd").is_err());
    }

    proptest! {
        #[test]
        fn no_parameter_that_looks_like_a_key_is_printed(
            before in "[a-z]{0,3}", mark in prop::sample::select(&MARKS[..]), after in "[a-z_]{0,3}", upper: bool,
        ) {
            let name = format!("{before}{mark}{after}");
            let name = if upper { name.to_uppercase() } else { name };
            let text = printed(&format!("https://u:S3CRET@a.example/p?q=1&{name}=S3CRET#S3CRET"));
            prop_assert!(!text.contains("S3CRET"), "{}", text);
        }
    }
}
