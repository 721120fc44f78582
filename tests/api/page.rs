//! `/`, `/feeds` and `/assets/…`: the pages inside the binary, and nothing else of the machine.

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode};

use super::{raw, refused, text};
use crate::support::TestApp;

/// Names that follow `before` in a text, up to the next quote.
fn named<'a>(content: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    content.split(before).skip(1).filter_map(|rest| rest.split(['"', '\'']).next()).map(str::to_owned)
}

/// A page as a browser asks for it.
async fn page(app: &TestApp, path: &str) -> Response {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    app.request(Method::GET, path).header("Accept", BROWSER).send().await.expect("an answer")
}

async fn is_a_page_and_may_load_nothing_from_elsewhere(answer: Response) {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "content-type"), "text/html; charset=utf-8");
    assert_eq!(text(answer.headers(), "x-content-type-options"), "nosniff");
    assert_eq!(text(answer.headers(), "referrer-policy"), "no-referrer");
    let policy = text(answer.headers(), "content-security-policy").to_owned();
    for directive in ["default-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'self'"] {
        assert!(policy.split("; ").any(|part| part == directive), "{directive} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = answer.text().await.expect("text");
    assert!(page.starts_with("<!doctype html>"));
    // The policy would block these: what the page needs, it loads.
    for inline in ["<style", " style=", " onclick=", "javascript:", "<script>", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline} in the page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_are_there_and_may_load_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    for path in ["/", "/feeds"] {
        is_a_page_and_may_load_nothing_from_elsewhere(page(&app, path).await).await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_are_a_page_for_browsers_and_json_for_everybody_else() {
    let app = TestApp::start().await;
    let says_that_it_depends = |answer: &Response| {
        let fields = answer.headers().get_all("vary").iter();
        fields
            .flat_map(|field| field.to_str().expect("text").split(','))
            .any(|name| name.trim().eq_ignore_ascii_case("accept"))
    };
    let html = page(&app, "/feeds").await;
    assert!(says_that_it_depends(&html), "{:?}", html.headers());
    let tag = text(html.headers(), "etag").to_owned();
    for accept in ["*/*", "application/json", "text/html;q=0.5, application/json"] {
        let asked = app.request(Method::GET, "/feeds").header("Accept", accept);
        // A tag of the page is none of the JSON's.
        let answer = asked.header("If-None-Match", &tag).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{accept}");
        assert_eq!(text(answer.headers(), "content-type"), "application/json", "{accept}");
        assert!(says_that_it_depends(&answer), "{:?}", answer.headers());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_the_pages_name_is_served_as_what_it_is() {
    let app = TestApp::start().await;
    let mut open = Vec::new();
    for path in ["/", "/feeds"] {
        let page = page(&app, path).await.text().await.expect("text");
        let named: Vec<String> = named(&page, "\"/assets/").collect();
        assert!(named.iter().any(|name| name.ends_with(".js")), "{path}: {named:?}");
        open.extend(named);
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let answer = app.get(&format!("/assets/{name}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        let expected = match name.rsplit_once('.').expect("an extension").1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("which media type has {other}?"),
        };
        assert_eq!(text(answer.headers(), "content-type"), expected, "{name}");
        assert_eq!(text(answer.headers(), "x-content-type-options"), "nosniff");
        if name.ends_with(".js") {
            let module = answer.text().await.expect("text");
            open.extend(named(&module, "from \"./"));
            open.extend(named(&module, "import(\"./"));
        }
    }
    let ends = |end: &str| seen.iter().any(|name| name.ends_with(end));
    assert!(ends(".js") && ends(".css"), "{seen:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_and_its_types_are_there_for_pages_of_other_sites() {
    let app =
        TestApp::with(|settings| settings.cors_origins = Some("https://fans.example".parse().expect("one"))).await;
    let script = app.get("/assets/app.js").await.text().await.expect("text");
    assert!(script.contains("from \"/scorewire.js\""), "the page uses it");
    let files = [
        ("/scorewire.js", "text/javascript", "export function connect("),
        ("/scorewire.d.ts", "text/plain", "connect("),
    ];
    for (path, media_type, says) in files {
        let asked = app.request(Method::GET, path).header("Origin", "https://fans.example");
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(text(answer.headers(), "content-type"), format!("{media_type}; charset=utf-8"), "{path}");
        assert_eq!(text(answer.headers(), "access-control-allow-origin"), "https://fans.example", "{path}");
        assert_eq!(text(answer.headers(), "cache-control"), "no-cache", "{path}");
        assert!(answer.text().await.expect("text").contains(says), "{path}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_page_already_is_not_sent_it_again() {
    let app = TestApp::start().await;
    let mut tags = BTreeSet::new();
    for path in ["/", "/assets/app.js", "/assets/board.css", "/scorewire.js"] {
        let tag = text(app.get(path).await.headers(), "etag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer =
                app.request(Method::GET, path).header("If-None-Match", &known).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
            assert_eq!(text(answer.headers(), "etag"), tag);
            assert_eq!(text(answer.headers(), "cache-control"), "no-cache");
            assert_eq!(answer.text().await.expect("text"), "");
        }
        let other = app.request(Method::GET, path).header("If-None-Match", "\"x\"").send().await.expect("an answer");
        assert_eq!(other.status(), StatusCode::OK);
        tags.insert(tag);
    }
    assert_eq!(tags.len(), 4, "each has a tag of its own");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_assets() {
    let app = TestApp::start().await;
    refused(app.get("/assets/nothing.js").await, 404, "not-found").await;
    let paths = [
        "/assets/../index.html",
        "/assets/../../Cargo.toml",
        "/assets/..%2findex.html",
        "/assets/%2e%2e/index.html",
        "/assets/%2e%2e%2f%2e%2e%2fCargo.toml",
        "/assets/..\\index.html",
        "/assets//etc/passwd",
        "/assets//",
        "/assets/app.js/",
        "/assets/app.js%00",
        "/assets/APP.JS",
        "/assets/./app.js",
        "/assets/",
        "/assets",
        "/../etc/passwd",
        "/assets/jwt-secret",
        "/scorewire-data/jwt-secret",
        "/.env",
        "/web/index.html",
    ];
    for path in paths {
        let answer = raw(&app, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.body.contains("/problems/not-found"), "{path}: {answer:?}");
    }
    app.finish().await;
}
