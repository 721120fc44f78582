//! `Retry-After`: how long a source wishes to be left alone, in seconds or until a date.

use std::time::{Duration, SystemTime};

use ::http::HeaderMap;
use ::http::header::RETRY_AFTER;

/// The wish, if there is one that can be read; 0 for a date that has passed.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_garbage_is_no_wish() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let wish = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            retry_after(&headers, now).map(|wish| wish.as_secs())
        };
        assert_eq!(wish("120"), Some(120));
        assert_eq!(wish("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wish("Sun, 06 Nov 1994 08:40:37 GMT"), Some(0));
        assert_eq!((wish("-1"), wish("soon"), wish("1.5"), wish("")), (None, None, None, None));
        assert_eq!(wish("18446744073709551615"), Some(u64::MAX));
    }
}
