//! Redirects: followed within reason, and no header goes to who it was not meant for.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::check;
use crate::support::within;

/// Answers `/` with a value and every other path with a redirect to `to`; tells the headers it was sent.
async fn service(to: Arc<str>) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (to, tell) = (Arc::clone(&to), tell.clone());
            let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                let _ = tell.send(format!("{:?}", request.headers()));
                let answer = match request.uri().path() {
                    "/" => Response::builder(),
                    _ => Response::builder().status(307).header("location", to.as_ref()),
                };
                let answer = answer.body(Full::new(Bytes::from_static(b"{\"a\":1}")));
                async move { answer }
            });
            tokio::spawn(async move {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    (url, told)
}

async fn outcome(url: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = format!("[[feeds]]\nname = \"a\"\nurl = \"{url}/begin\"\nheaders = {{ x-api-key = \"s3cret\" }}");
    std::fs::write(dir.path().join("scorewire.toml"), settings).expect("settings");
    check(dir.path(), &["--json"], &[]).await.outcome("a")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_within_the_source_is_followed_with_the_key() {
    let (url, mut told) = service("/".into()).await;
    assert_eq!(outcome(&url).await, "value");
    for _ in 0..2 {
        assert!(within("a request", told.recv()).await.expect("one").contains("s3cret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_somebody_else_is_followed_without_the_key() {
    let (elsewhere, mut told_elsewhere) = service("/".into()).await;
    let (url, mut told) = service(format!("{elsewhere}/").into()).await;
    assert_eq!(outcome(&url).await, "value");
    assert!(within("a request", told.recv()).await.expect("one").contains("s3cret"));
    let headers = within("a request", told_elsewhere.recv()).await.expect("one");
    assert!(headers.contains("accept") && !headers.contains("s3cret"), "{headers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_what_is_no_source_is_not_followed() {
    for place in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[", "/again"] {
        let (url, _told) = service(place.into()).await;
        assert_eq!(outcome(&url).await, "redirects", "{place}");
    }
}
