//! `GET /scores`: the board's rows, their order, and what caches may do with them.

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{board, refused, text};
use crate::support::TestApp;

/// Users 1 to `count`, each with ten points more than the one before.
async fn ladder(count: i64) -> TestApp {
    let app = TestApp::start().await;
    for user in 1..=count {
        app.add_user(user).await;
        assert_eq!(app.decided(user, user * 10).await["status"], "applied");
    }
    app.settled().await;
    app
}

async fn get_with(app: &TestApp, path: &str, name: &str, values: &[&str]) -> Response {
    let mut request = app.request(Method::GET, path);
    for value in values {
        request = request.header(name, *value);
    }
    request.send().await.expect("an answer")
}

async fn etag(app: &TestApp, path: &str) -> String {
    app.settled().await;
    text(app.get(path).await.headers(), "etag").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_board_is_an_empty_array() {
    let app = TestApp::start().await;
    let answer = app.get("/scores").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "content-type"), "application/json");
    assert_eq!(answer.text().await.expect("text"), "[]");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_has_rank_user_and_score_and_the_highest_stands_first() {
    let app = ladder(2).await;
    let rows: Value = app.get("/scores").await.json().await.expect("JSON");
    let expected = json!([
        { "rank": 1, "userId": 2, "user": "user 2", "score": 20 },
        { "rank": 2, "userId": 1, "user": "user 1", "score": 10 },
    ]);
    assert_eq!(rows, expected);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_scores_share_a_rank_and_the_earlier_stands_first() {
    let app = TestApp::start().await;
    for user in 1..=4 {
        app.add_user(user).await;
    }
    for (user, increment) in [(3, 50), (1, 50), (2, 70), (4, 10)] {
        app.decided(user, increment).await;
    }
    assert_eq!(board(&app, "").await, [(1, 2, 70), (2, 3, 50), (2, 1, 50), (4, 4, 10)]);
    assert_eq!(board(&app, "?offset=2&limit=1").await, [(2, 1, 50)], "a page in a tie keeps the shared rank");
    // Away and back again: 3 has now reached 50 after 1 did.
    app.decided(3, 5).await;
    app.decided(3, -5).await;
    assert_eq!(board(&app, "?offset=1&limit=2").await, [(2, 1, 50), (2, 3, 50)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_and_offset_cut_the_board() {
    let app = ladder(12).await;
    let all: Vec<_> = (1..=12).rev().zip(1..).map(|(user, rank)| (rank, user, user * 10)).collect();
    assert_eq!(board(&app, "").await, all[..10], "ten rows when nothing else is asked for");
    assert_eq!(board(&app, "?offset=1").await, all[1..11]);
    assert_eq!(board(&app, "?limit=1").await, all[..1]);
    assert_eq!(board(&app, "?limit=3&offset=4").await, all[4..7]);
    assert_eq!(board(&app, "?limit=100").await, all);
    assert_eq!(board(&app, "?limit=100&offset=11").await, all[11..]);
    for past in ["12", "13", "1000000", "9007199254740993", "18446744073709551615"] {
        assert_eq!(board(&app, &format!("?limit=100&offset={past}")).await, [], "offset {past}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_or_offset_that_can_not_be_used_is_refused() {
    let app = TestApp::start().await;
    let cases = [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=18446744073709551616", ""),
        ("limit=-1", ""),
        ("limit=", ""),
        ("limit=ten", ""),
        ("limit=1.5", ""),
        ("limit=1e1", ""),
        ("limit=%201", ""),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", ""),
        ("offset=x", ""),
        ("offset=18446744073709551616", ""),
        ("offset=%00", ""),
        ("page=2", "page"),
        ("limit=5&page=2", "page"),
    ];
    for (query, named) in cases {
        let refusal = refused(app.get(&format!("/scores?{query}")).await, 400, "invalid-request").await;
        assert!(refusal.detail().contains(named), "{query}: {}", refusal.detail());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_stands_for_the_content() {
    let app = ladder(2).await;
    let before = etag(&app, "/scores").await;
    assert!(before.starts_with('"') && before.ends_with('"') && before.len() > 2, "{before}");
    assert_eq!(etag(&app, "/scores").await, before, "nothing changed");
    assert_ne!(etag(&app, "/scores?limit=1").await, before, "other rows");
    app.decided(1, 1).await;
    assert_ne!(etag(&app, "/scores").await, before, "a score changed");
    app.decided(1, -1).await;
    assert_eq!(etag(&app, "/scores").await, before, "the same content again");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_board_already_is_not_sent_it_again() {
    let app = ladder(2).await;
    for path in ["/scores", "/scores?limit=1"] {
        let tag = etag(&app, path).await;
        let (weak, list) = (format!("W/{tag}"), format!("\"x\", {tag} ,\"y\""));
        for known in [&[tag.as_str()][..], &[&weak], &[&list], &["*"], &["\"x\"", &tag]] {
            let answer = get_with(&app, path, "If-None-Match", known).await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known:?}");
            assert_eq!(text(answer.headers(), "etag"), tag);
            assert_eq!(text(answer.headers(), "cache-control"), "public, max-age=0, must-revalidate");
            assert_eq!(answer.text().await.expect("text"), "");
        }
        for other in ["\"x\"", "x", "", "W/\"x\"", tag.trim_matches('"')] {
            let answer = get_with(&app, path, "If-None-Match", &[other]).await;
            assert_eq!(answer.status(), StatusCode::OK, "{other:?}");
        }
    }
    let tag = etag(&app, "/scores").await;
    app.decided(1, 5).await;
    app.settled().await;
    assert_eq!(get_with(&app, "/scores", "If-None-Match", &[&tag]).await.status(), StatusCode::OK);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_has_to_ask_each_time() {
    let app = TestApp::start().await;
    let answer = app.get("/scores").await;
    assert_eq!(text(answer.headers(), "cache-control"), "public, max-age=0, must-revalidate");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_like_get_without_the_body() {
    let app = ladder(1).await;
    let comparable = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        for differs in ["date", "x-request-id"] {
            headers.remove(differs);
        }
        headers
    };
    for path in ["/scores", "/scores?limit=1", "/users/1", "/", "/assets/app.js", "/healthz", "/problems/not-found"] {
        let get = app.get(path).await;
        let head = app.request(Method::HEAD, path).send().await.expect("an answer");
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(comparable(head.headers()), comparable(get.headers()), "{path}");
        assert_eq!(head.text().await.expect("text"), "", "{path}");
    }
    // Of a stream it answers at once, and leaves no viewer behind (checked at the end).
    let head = app.request(Method::HEAD, "/scores/stream").send().await.expect("an answer");
    assert_eq!(text(head.headers(), "content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(head.text().await.expect("text"), "");
    app.finish().await;
}
