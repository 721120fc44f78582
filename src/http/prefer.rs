//! The request header `Prefer` (RFC 7240), as far as it is about waiting.

use http::HeaderMap;

/// How many seconds a request prefers to wait for its result: the first `wait` it names. `None` without one, or
/// when that one is no whole number; what can not be understood is ignored, as the RFC asks.
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    let fields = headers.get_all("prefer").iter().filter_map(|field| field.to_str().ok());
    let preferences = fields.flat_map(|field| outside_quotes(field, ','));
    let wait = preferences.filter_map(value_of_wait).next()?;
    let digits = !wait.is_empty() && wait.bytes().all(|b| b.is_ascii_digit());
    // Longer than can be counted is longer than anybody waits.
    digits.then(|| wait.parse().unwrap_or(u64::MAX))
}

/// The value of a preference called `wait`, without its quotes; empty when it has none.
fn value_of_wait(preference: &str) -> Option<&str> {
    // Parameters belong to the preference, but `wait` has none.
    let preference = outside_quotes(preference, ';').next()?;
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    name.trim().eq_ignore_ascii_case("wait").then_some(value)
}

/// Splits where the separator does not stand in a quoted string.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let splits = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        splits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(fields: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("prefer", HeaderValue::from_str(field).expect("a header value"));
        }
        wait(&headers)
    }

    #[test]
    fn a_wait_is_found_however_it_is_written() {
        assert_eq!(read(&["wait=2"]), Some(2));
        for text in
            ["WAIT=7", "wait = 7", "\twait=\"7\"", "respond-async, wait=7", "wait=7; unknown=\"a,b\"", "x;y=1,wait=7"]
        {
            assert_eq!(read(&[text]), Some(7), "{text}");
        }
        assert_eq!(read(&["respond-async", "wait=3"]), Some(3));
        assert_eq!(read(&["wait=99999999999999999999999"]), Some(u64::MAX));
        assert_eq!(read(&["wait=0"]), Some(0));
    }

    #[test]
    fn of_several_the_first_counts() {
        assert_eq!(read(&["wait=2, wait=3"]), Some(2));
        assert_eq!(read(&["wait=2", "wait=3"]), Some(2));
        assert_eq!(read(&["wait=soon, wait=3"]), None);
    }

    #[test]
    fn what_is_no_wait_is_ignored() {
        for text in [
            "",
            ",",
            "wait",
            "wait=",
            "wait=\"\"",
            "wait=-1",
            "wait=1.5",
            "wait=2s",
            "wait 2",
            "await=2",
            "=2",
            "waiting=2",
            "x=\"a, wait=2\"",
            "x=\"\\\", wait=2\"",
            "x;wait=2",
            "wait=0x2",
            "wait=+2",
        ] {
            assert_eq!(read(&[text]), None, "{text}");
        }
        assert_eq!(read(&[]), None);
    }
}
