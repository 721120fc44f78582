//! The request header `Accept` (RFC 9110, 12.5.1), as far as it is about pages.

use http::{HeaderMap, header};

/// Whether a resource that is both a page and JSON shall answer with the page: only who names `text/html`, and does not
/// want JSON more. `*/*` alone, which curl and `fetch` send, means JSON.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let ranges: Vec<(&str, f32)> = fields.flat_map(|field| field.split(',')).filter_map(range).collect();
    let weight = |wanted: &str| {
        let named = ranges.iter().filter(|(range, _)| range.eq_ignore_ascii_case(wanted));
        named.map(|&(_, weight)| weight).reduce(f32::max)
    };
    let html = weight("text/html").unwrap_or(0.0);
    // The most specific range counts, even when a wider one weighs more.
    let json = ["application/json", "application/*", "*/*"].into_iter().find_map(weight).unwrap_or(0.0);
    html > 0.0 && html >= json
}

/// A media range and its weight, 0 to 1; nothing where the weight can not be read.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?;
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let weight = weight.map_or(Some(1.0), |text| text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)))?;
    Some((range, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn html(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::ACCEPT, HeaderValue::from_str(field).expect("a header value"));
        }
        wants_html(&headers)
    }

    #[test]
    fn browsers_are_shown_the_page() {
        for accept in [
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            "text/html",
            "TEXT/HTML",
            "text/html; charset=utf-8",
            "text/html, application/json",
            "text/html;q=0.5, application/json;q=0.5",
            "text/html;q=0.9, application/json ; Q=0.8",
            "text/html, */*",
            "text/html;q=0.2, application/json;q=0.1, */*;q=1",
            "application/json;q=0, text/html;q=0.001",
        ] {
            assert!(html(&[accept]), "{accept}");
        }
        assert!(html(&["application/json;q=0.5", "text/html"]), "two fields are one list");
    }

    #[test]
    fn everybody_else_gets_json() {
        for accept in [
            "*/*",
            "text/*",
            "application/json",
            "application/json, text/html;q=0.9",
            "text/html;q=0.7, */*;q=0.8",
            "text/html;q=0.7, application/*;q=0.8",
            "text/html;q=0",
            "text/html;q=2",
            "text/html;q=NaN",
            "text/html;q=high",
            "text/html;q=",
            "text/htmlx",
            "application/xhtml+xml",
            "x;text/html",
            "",
            ",;,",
        ] {
            assert!(!html(&[accept]), "{accept}");
        }
        assert!(!html(&[]), "without the header");
        assert!(!html(&["text/html;q=0.3", "application/json"]));
    }
}
