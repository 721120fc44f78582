//! Bodies and headers that are wrong in every known way, and what the answer says about each.

use reqwest::{Method, Response, StatusCode};
use scorewire_core::domain::SCORE_LIMIT;

use super::{board, post, raw, refused, writer};
use crate::support::TestApp;

async fn app_with_user() -> TestApp {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app
}

async fn update(app: &TestApp, body: impl Into<reqwest::Body>) -> Response {
    post(app, "/scores/update", &writer(app, "ann"), body).await
}

async fn typed(app: &TestApp, content_type: Option<&str>, body: &'static str) -> Response {
    let mut request = app.request(Method::POST, "/scores/update").bearer_auth(writer(app, "ann")).body(body);
    if let Some(content_type) = content_type {
        request = request.header("Content-Type", content_type);
    }
    request.send().await.expect("an answer")
}

/// Nothing of what was refused left a trace.
async fn nothing_happened(app: TestApp) {
    assert_eq!(board(&app, "").await, [(1, 1, 0)]);
    assert_eq!(app.server.wiring.metrics.accepted.get(), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_is_refused() {
    let app = app_with_user().await;
    let deep = "[".repeat(60_000);
    let nested = format!(r#"{{"userId":{}"#, r#"{"a":"#.repeat(5_000));
    let bodies: [&[u8]; 18] = [
        b"",
        b" \n\t",
        b"nonsense",
        b"userId=1&increment=10",
        b"<xml/>",
        br#"{"userId":1,"increment":10"#,
        br#"{"userId":1,"increment":"#,
        br#"{"userId":1,"#,
        b"{",
        br#"{"userId":1,"increment":10}}"#,
        br#"{"userId":1,"increment":10} {"userId":1,"increment":10}"#,
        br#"{"userId":1,"increment":10},"#,
        br#"{'userId':1,'increment':10}"#,
        br#"{"userId":1,"increment":10,}"#,
        br#"{"userId":1,"increment":+10}"#,
        br#"{"userId":1,"increment":010}"#,
        br#"{"userId":1,"increment":NaN}"#,
        b"\xff\xfe{\"userId\":1}",
    ];
    for body in bodies {
        let refusal = refused(update(&app, body.to_vec()).await, 400, "invalid-json").await;
        assert_eq!(refusal.field(), None, "{}", refusal.body);
        assert!(refusal.detail().starts_with("the body is not valid JSON: "), "{}", refusal.detail());
    }
    // Deep nesting is a client's error too, whichever comes first.
    for body in [deep, nested] {
        assert!(update(&app, body).await.status().is_client_error());
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_the_wrong_kind_is_named() {
    let app = app_with_user().await;
    let limit = SCORE_LIMIT;
    let cases = [
        (r#"{"userId":"1","increment":10}"#.to_owned(), "userId", "invalid type: string"),
        (r#"{"userId":1.0,"increment":10}"#.to_owned(), "userId", "invalid type: floating point"),
        (r#"{"userId":null,"increment":10}"#.to_owned(), "userId", "invalid type: null"),
        (r#"{"userId":true,"increment":10}"#.to_owned(), "userId", "invalid type: boolean"),
        (r#"{"userId":[1],"increment":10}"#.to_owned(), "userId", "invalid type: sequence"),
        (r#"{"userId":{"$gt":0},"increment":10}"#.to_owned(), "userId", "invalid type: map"),
        (r#"{"userId":0,"increment":10}"#.to_owned(), "userId", "from 1 to"),
        (r#"{"userId":-1,"increment":10}"#.to_owned(), "userId", "from 1 to"),
        (format!(r#"{{"userId":{},"increment":10}}"#, limit + 1), "userId", "from 1 to"),
        (format!(r#"{{"userId":{},"increment":10}}"#, i64::MAX), "userId", "from 1 to"),
        (r#"{"userId":9223372036854775808,"increment":10}"#.to_owned(), "userId", "invalid value"),
        (r#"{"userId":1,"increment":"10"}"#.to_owned(), "increment", "invalid type: string"),
        (r#"{"userId":1,"increment":10.5}"#.to_owned(), "increment", "invalid type: floating point"),
        (r#"{"userId":1,"increment":10.0}"#.to_owned(), "increment", "invalid type: floating point"),
        (r#"{"userId":1,"increment":1e3}"#.to_owned(), "increment", "invalid type: floating point"),
        (r#"{"userId":1,"increment":null}"#.to_owned(), "increment", "invalid type: null"),
        (r#"{"userId":1,"increment":[]}"#.to_owned(), "increment", "invalid type: sequence"),
        (r#"{"userId":1,"increment":0}"#.to_owned(), "increment", "not 0"),
        (r#"{"userId":1,"increment":-0}"#.to_owned(), "increment", ""),
        (format!(r#"{{"userId":1,"increment":{}}}"#, limit + 1), "increment", "within"),
        (format!(r#"{{"userId":1,"increment":{}}}"#, -limit - 1), "increment", "within"),
        (format!(r#"{{"userId":1,"increment":{}}}"#, i64::MIN), "increment", "within"),
        (r#"{"userId":1,"increment":18446744073709551616}"#.to_owned(), "increment", "invalid type: floating point"),
        (r#"{"userId":1,"increment":-9223372036854775809}"#.to_owned(), "increment", "invalid type: floating point"),
    ];
    for (body, field, detail) in cases {
        let refusal = refused(update(&app, body.clone()).await, 422, "invalid-body").await;
        assert_eq!(refusal.field(), Some(field), "{body}: {}", refusal.body);
        let said = refusal.body["errors"][0]["detail"].as_str().expect("a detail");
        assert!(said.contains(detail), "{body}: {said}");
        assert_eq!(refusal.detail(), format!("{field}: {said}"));
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_wrong_shape_is_refused() {
    let app = app_with_user().await;
    let cases = [
        ("{}", "userId"),
        (r#"{"userId":1}"#, "increment"),
        (r#"{"increment":10}"#, "userId"),
        (r#"{"userId":1,"increment":10,"bonus":5}"#, "bonus"),
        (r#"{"userId":1,"increment":10,"":0}"#, "unknown field"),
        (r#"{"user_id":1,"increment":10}"#, "user_id"),
        (r#"{"USERID":1,"increment":10}"#, "USERID"),
        (r#"{"userId":1,"increment":10,"increment":20}"#, "increment"),
        (r#"{"userId":1,"userId":1,"increment":10}"#, "userId"),
        ("null", "null"),
        ("1", "integer"),
        (r#""text""#, "string"),
        ("true", "boolean"),
    ];
    for (body, word) in cases {
        let refusal = refused(update(&app, body).await, 422, "invalid-body").await;
        assert!(refusal.field().is_some() && refusal.detail().contains(word), "{body}: {}", refusal.body);
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_no_update_whatever_it_holds() {
    let app = app_with_user().await;
    for body in ["[]", "[1]", "[1,10]", "[1,10,3]", r#"[{"userId":1,"increment":10}]"#, r#"["1","10"]"#] {
        let refusal = refused(update(&app, body).await, 422, "invalid-body").await;
        assert_eq!(refusal.field(), Some("body"), "{body}: {}", refusal.body);
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_beyond_all_numbers_is_refused() {
    let app = app_with_user().await;
    let digits = "9".repeat(50_000);
    for number in ["1e400", "-1e400", &digits] {
        let answer = update(&app, format!(r#"{{"userId":1,"increment":{number}}}"#)).await;
        assert!(matches!(answer.status().as_u16(), 400 | 422), "{number:.20}: {}", answer.status());
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_declared_as_json() {
    let app = app_with_user().await;
    let body = r#"{"userId":1,"increment":10}"#;
    let wrong =
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application", "", "json", "*/*"];
    for content_type in wrong.into_iter().map(Some).chain([None]) {
        let refusal = refused(typed(&app, content_type, body).await, 415, "unsupported-media-type").await;
        assert!(refusal.detail().contains("application/json"), "{}", refusal.detail());
    }
    nothing_happened(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_case_of_the_media_type_do_not_matter() {
    let app = app_with_user().await;
    let right = [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;charset=\"UTF-8\"",
        "application/json ;",
    ];
    for content_type in right {
        let answer = typed(&app, Some(content_type), r#"{"userId":1,"increment":10}"#).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{content_type}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn white_space_and_escapes_are_json_too() {
    let app = app_with_user().await;
    for body in ["\r\n\t {\"increment\" : 10 , \"userId\" : 1 }\n\n", r#"{"\u0075serId":1,"increment":10}"#] {
        assert_eq!(update(&app, body).await.status(), StatusCode::ACCEPTED, "{body}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_http_gets_a_client_error() {
    let app = app_with_user().await;
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let many_headers = format!("GET /scores HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    let requests: [&[u8]; 9] = [
        b"nonsense\r\n\r\n",
        b"GET /scores HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /scores HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST /scores/update HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /scores/update HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /scores/update HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n",
        long_path.as_bytes(),
        many_headers.as_bytes(),
    ];
    for request in requests {
        let answer = raw(&app, request).await;
        assert!((400..500).contains(&answer.status), "{:.60}: {answer:?}", String::from_utf8_lossy(request));
    }
    nothing_happened(app).await;
}
