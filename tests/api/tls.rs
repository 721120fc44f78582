//! TLS: both versions of HTTP on it, clients that do not speak it, and certificates that are renewed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use scorewire_core::settings::Overrides;
use scorewire_core::settings::units::Maybe;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{ServerProcess, TestApp, command, eventually, within};

const H1: &[u8] = b"http/1.1";
pub(super) const H2: &[u8] = b"h2";

/// Writes a new certificate for `localhost` and its key to a directory.
pub(super) fn certify(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).expect("written");
    made.cert.der().clone()
}

/// Where nobody listens now.
pub(super) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

/// A server that listens with TLS, too, and its certificate.
async fn app_with(change: impl FnOnce(&mut Overrides)) -> (TestApp, CertificateDer<'static>) {
    let dir = tempfile::tempdir().expect("a directory");
    let certificate = certify(dir.path());
    let app = TestApp::with(|settings| {
        settings.tls_cert = Some(Maybe(Some(dir.path().join("cert.pem"))));
        settings.tls_key = Some(Maybe(Some(dir.path().join("key.pem"))));
        settings.tls_listen = Some("127.0.0.1:0".parse().expect("an address"));
        change(settings);
    })
    .await;
    (app, certificate)
}

fn address(app: &TestApp) -> SocketAddr {
    app.server.tls_address.expect("it listens with TLS")
}

/// A connection that trusts this certificate alone.
pub(super) async fn connect(
    to: SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let socket = TcpStream::connect(to).await?;
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

/// A client on one connection.
enum Client {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn new(app: &TestApp, trusted: &CertificateDer<'static>, alpn: &[u8]) -> Self {
        let stream = connect(address(app), trusted, alpn).await.expect("a connection");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        let stream = TokioIo::new(stream);
        if alpn == H2 {
            let (client, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            Self::Two(client)
        } else {
            let (client, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            Self::One(client)
        }
    }

    async fn send(&mut self, request: http::request::Builder, body: &str) -> http::Response<Incoming> {
        let request: Request<Full<Bytes>> = request.body(Full::from(body.to_owned())).expect("a request");
        let answer = async {
            // The connection may not yet have noticed that the answer before was read to its end.
            match self {
                Self::One(client) => {
                    client.ready().await?;
                    client.send_request(request).await
                }
                Self::Two(client) => {
                    client.ready().await?;
                    client.send_request(request).await
                }
            }
        };
        within("an answer", answer).await.expect("an answer")
    }

    /// The request's target and host, as this version of HTTP writes them.
    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        match self {
            Self::One(_) => Request::builder().method(method).uri(path).header("Host", "localhost"),
            Self::Two(_) => Request::builder().method(method).uri(format!("https://localhost{path}")),
        }
    }

    async fn update(&mut self, app: &TestApp, user: i64) -> http::Response<Incoming> {
        let request = self.request("POST", "/scores/update").header("Authorization", format!("Bearer {}", app.admin()));
        let body = json!({ "userId": user, "increment": 5 }).to_string();
        self.send(request.header("Content-Type", "application/json"), &body).await
    }
}

/// Reads a body until a text has come.
async fn read_until(body: &mut Incoming, text: &str) -> String {
    let mut read = String::new();
    within(text, async {
        while !read.contains(text) {
            let frame = body.frame().await.unwrap_or_else(|| panic!("no {text:?} in {read:?}")).expect("a frame");
            let data = frame.into_data().expect("data");
            read.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    })
    .await;
    read
}

/// Waits until the server closes a connection, and returns what it said before.
async fn said(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = within("the server to hang up", stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_and_2_are_spoken_over_tls() {
    let (app, certificate) = app_with(|_| {}).await;
    app.add_user(1).await;
    for (alpn, version) in [(H1, Version::HTTP_11), (H2, Version::HTTP_2)] {
        let mut client = Client::new(&app, &certificate, alpn).await;
        let answer = client.update(&app, 1).await;
        assert_eq!((answer.status().as_u16(), answer.version()), (202, version));
        let answer = client.send(client.request("GET", "/scores"), "").await;
        assert_eq!(answer.status(), 200);
        let rows: Value =
            serde_json::from_slice(&answer.into_body().collect().await.expect("a body").to_bytes()).expect("JSON");
        assert_eq!(rows[0]["userId"], 1);
        let answer = client.send(client.request("GET", "/nowhere"), "").await;
        assert_eq!(answer.status(), 404);
    }
    assert_eq!(app.get("/scores").await.status(), 200, "plain HTTP is still there");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_one_http_2_connection_and_end_in_order() {
    let (app, certificate) = app_with(|_| {}).await;
    app.add_user(1).await;
    let mut client = Client::new(&app, &certificate, H2).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let answer = client.send(client.request("GET", "/scores/stream"), "").await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
        let mut body = answer.into_body();
        read_until(&mut body, "event: snapshot").await;
        streams.push(body);
    }
    assert_eq!(client.update(&app, 1).await.status(), 202);
    for body in &mut streams {
        read_until(body, "event: update").await;
    }
    app.settled().await;
    assert_eq!(app.server.wiring.metrics.viewers.get(), 2);
    let stop = tokio::spawn(within("the server to stop", app.server.stop()));
    for mut body in streams {
        read_until(&mut body, "retry:").await;
        within("the end", body.collect()).await.expect("a whole answer");
    }
    stop.await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_page_is_known_over_http_2() {
    let (app, certificate) = app_with(|settings| settings.streams = Some("token".parse().expect("a word"))).await;
    let cookie = format!("scorewire_token={}", app.admin());
    for alpn in [H1, H2] {
        for (origin, status) in [("https://localhost", 200), ("https://evil.example", 403)] {
            let mut client = Client::new(&app, &certificate, alpn).await;
            let request = client.request("GET", "/scores/stream").header("Cookie", &cookie).header("Origin", origin);
            assert_eq!(client.send(request, "").await.status(), status, "{origin}");
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_hung_up_on() {
    let (app, certificate) = app_with(|_| {}).await;
    let garbage = vec![0x16; 100_000];
    for sent in [&b"GET /scores HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0; 64], &garbage] {
        let mut socket = TcpStream::connect(address(&app)).await.expect("a connection");
        let _ = socket.write_all(sent).await;
        let _ = socket.shutdown().await;
        let said = said(&mut socket).await;
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    // HTTP/2 that is none, within TLS that is right.
    let mut stream = connect(address(&app), &certificate, H2).await.expect("a connection");
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\nnot the preface of anything").await;
    said(&mut stream).await;
    let mut client = Client::new(&app, &certificate, H2).await;
    assert_eq!(client.send(client.request("GET", "/healthz"), "").await.status(), 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stalls_before_the_first_request_is_cut_off() {
    let (app, certificate) =
        app_with(|settings| settings.header_timeout = Some("300ms".parse().expect("a time"))).await;
    let mut silent = TcpStream::connect(address(&app)).await.expect("a connection");
    let mut halfway = TcpStream::connect(address(&app)).await.expect("a connection");
    halfway.write_all(b"\x16\x03\x01\x02\x00\x01").await.expect("sent");
    assert_eq!((said(&mut silent).await, said(&mut halfway).await), (vec![], vec![]));
    for alpn in [H1, H2] {
        let mut stream = connect(address(&app), &certificate, alpn).await.expect("a connection");
        said(&mut stream).await;
    }
    let connections = &app.server.wiring.metrics.connections;
    eventually("their places to be free", || async { (connections.get() == 0).then_some(()) }).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_one_stream_is_cut_off() {
    let (app, certificate) = app_with(|settings| {
        settings.write_timeout = Some("300ms".parse().expect("a time"));
        settings.heartbeat = Some("50ms".parse().expect("a time"));
    })
    .await;
    app.add_user(1).await;
    let stream = TokioIo::new(connect(address(&app), &certificate, H2).await.expect("a connection"));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let (client, connection) = builder.initial_stream_window_size(1).handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut client = Client::Two(client);
    let _never_read = client.send(client.request("GET", "/scores/stream"), "").await;
    let _ = within("the server to hang up", connection).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sockets_share_one_limit_on_connections() {
    let (app, certificate) = app_with(|settings| settings.max_connections = Some(2)).await;
    let plain = TcpStream::connect(app.server.address).await.expect("a connection");
    let over_tls = connect(address(&app), &certificate, H2).await.expect("a connection");
    assert!(connect(address(&app), &certificate, H2).await.is_err(), "a third, over TLS");
    let mut third = TcpStream::connect(app.server.address).await.expect("a connection");
    assert!(said(&mut third).await.starts_with(b"HTTP/1.1 503"), "a third, plain");
    drop((plain, over_tls));
    let connections = &app.server.wiring.metrics.connections;
    eventually("their places to be free", || async { (connections.get() == 0).then_some(()) }).await;
    Client::new(&app, &certificate, H1).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = certify(dir.path());
    let free = free_address();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let data = dir.path().join("data");
    let mut serve = command(&data, &["--tls-listen", &free.to_string()]);
    serve.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    let log = dir.path().join("log");
    let server = ServerProcess::start_logging(serve, &log).await;
    let logged = |text: &'static str| {
        let log = log.clone();
        move || {
            let log = log.clone();
            async move { std::fs::read_to_string(&log).expect("a log").contains(text).then_some(()) }
        }
    };
    connect(free, &first, H2).await.expect("the first certificate");

    std::fs::write(&cert, "not a certificate").expect("written");
    server.signal(Signal::HUP);
    eventually("a warning", logged("the one before stays")).await;
    connect(free, &first, H2).await.expect("still the first certificate");

    let second = certify(dir.path());
    server.signal(Signal::HUP);
    eventually("the renewal", logged("the certificate was read anew")).await;
    connect(free, &second, H2).await.expect("the second certificate");
    assert!(connect(free, &first, H2).await.is_err(), "the first is shown no more");
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_a_certificate_and_its_own_key() {
    let dir = tempfile::tempdir().expect("a directory");
    certify(dir.path());
    let other = tempfile::tempdir().expect("a directory");
    certify(other.path());
    std::fs::write(dir.path().join("empty.pem"), "").expect("written");
    let path = |dir: &Path, name: &str| dir.join(name).display().to_string();
    let (cert, key) = (path(dir.path(), "cert.pem"), path(dir.path(), "key.pem"));
    for (arguments, said) in [
        (vec!["--tls-cert", &cert], "tls_cert is set and tls_key is not"),
        (vec!["--tls-key", &key], "tls_key is set and tls_cert is not"),
        (vec!["--tls-cert", &cert, "--tls-key", &path(other.path(), "key.pem")], "with its certificate"),
        (vec!["--tls-cert", &path(dir.path(), "gone.pem"), "--tls-key", &key], "gone.pem can not be used"),
        (vec!["--tls-cert", &path(dir.path(), "empty.pem"), "--tls-key", &key], "no certificate in PEM"),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], "the private key (tls_key)"),
    ] {
        let refusal = ServerProcess::try_start(command(&dir.path().join("data"), &arguments)).await.err();
        let refusal = refusal.unwrap_or_else(|| panic!("started with {arguments:?}"));
        assert!(refusal.contains(said), "{arguments:?}: {refusal}");
    }
}
