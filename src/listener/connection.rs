//! One connection: opened, served by HTTP/1.1 or HTTP/2, ended in order or at once.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_service::Service;

use super::admission::Admitted;
use super::held::Held;
use super::taken::{Handed, Watched};
use super::{ConnectionLimits, Protocol, Routes, Transport};
use crate::http::Arrival;

/// Requests in flight on one HTTP/2 connection at most.
const STREAMS: u32 = 100;
/// The largest head of a request over HTTP/2, in bytes.
const HEAD: u32 = 16 << 10;
/// What may arrive on one HTTP/2 connection before it is read, in bytes.
const WINDOW: u32 = 256 << 10;
/// What is kept for one HTTP/2 stream until its client takes it, in bytes.
const SEND_BUFFER: usize = 64 << 10;
/// An HTTP/2 client that is silent this long is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

/// What ends a connection before its client does.
struct Ends {
    /// In order: what is in flight is answered first.
    stop: CancellationToken,
    /// At once.
    cut: CancellationToken,
}

/// Serves an accepted socket until it ends.
pub(super) async fn serve<R: Routes, T: Transport>(
    socket: TcpStream,
    transport: T,
    held: (Admitted, TaskTrackerToken),
    routes: R,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    prepare(&socket, limits.write_timeout);
    let (admitted, awaited) = held;
    let peer = admitted.address;
    let opened = tokio::select! {
        opened = timeout(limits.header_timeout, transport.open(socket)) => opened,
        () = stop.cancelled() => return,
    };
    let (stream, protocol) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a connection was not opened"),
        Err(_) => return tracing::debug!(%peer, "a connection took too long to be opened"),
    };
    let stream = TokioIo::new(Held::new(stream, limits.write_timeout, admitted, awaited));
    let (cut, begun) = (CancellationToken::new(), CancellationToken::new());
    let ends = Ends { stop, cut: cut.clone() };
    let beginning = begun.clone();
    let handed = Arc::new(Handed::default());
    let watching = (protocol == Protocol::Http2).then(|| Arc::clone(&handed));
    let service = service_fn(move |mut request: Request<Incoming>| {
        beginning.cancel();
        let upgrade = wants_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        name_host(&mut request);
        let arrival = Arrival { peer, uri: request.uri().clone(), upgrade, cut: cut.clone() };
        request.extensions_mut().insert(arrival);
        let answer = warp::service(routes.clone()).call(request);
        let handed = watching.clone();
        async move {
            let answer = answer.await;
            answer.map(|answer| answer.map(|body| Watched::new(body, handed.as_ref())))
        }
    });
    let ended = match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_timeout)
                .max_headers(64)
                .serve_connection(stream, service)
                .with_upgrades();
            until_end(connection, |connection| connection.graceful_shutdown(), &ends).await
        }
        // Apart, so that the many connections of HTTP/1.1 do not carry the room for it.
        Protocol::Http2 => {
            Box::pin(async {
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS)
                    .max_header_list_size(HEAD)
                    .initial_connection_window_size(WINDOW)
                    .max_send_buf_size(SEND_BUFFER)
                    .keep_alive_interval(PING)
                    .keep_alive_timeout(limits.write_timeout)
                    .serve_connection(stream, service);
                let served = until_end(connection, |connection| connection.graceful_shutdown(), &ends);
                tokio::select! {
                    ended = served => ended,
                    // HTTP/2 has no time for its first request.
                    () = silence(&begun, limits.header_timeout) => Ok(()),
                    () = handed.too_long(limits.write_timeout) => Ok(()),
                }
            })
            .await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}

/// Drives a connection until it ends by itself, in order, or is dropped.
async fn until_end<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    end_in_order: impl FnOnce(Pin<&mut C>),
    ends: &Ends,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = ends.cut.cancelled() => return Ok(()),
        () = ends.stop.cancelled() => end_in_order(connection.as_mut()),
    }
    tokio::select! {
        ended = connection => ended,
        () = ends.cut.cancelled() => Ok(()),
    }
}

/// Ends when nothing begins in time.
async fn silence(begun: &CancellationToken, time: Duration) {
    tokio::select! {
        () = begun.cancelled() => std::future::pending().await,
        () = sleep(time) => {}
    }
}

/// Sets what the kernel is to do for a connection.
fn prepare(socket: &TcpStream, write_timeout: Duration) {
    // Small writes must not wait for acknowledgements of earlier ones.
    let _ = socket.set_nodelay(true);
    // The kernel takes bytes for a peer that is gone until its buffer is full: this is how long they may go
    // unacknowledged.
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(write_timeout)) {
        tracing::debug!(%error, "a connection has no limit on unacknowledged bytes");
    }
}

/// Only HTTP/1.1 has upgrades.
fn wants_upgrade(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().contains_key(header::UPGRADE)
}

/// HTTP/2 names the host in the request's target: handlers shall find it where HTTP/1.1 has it.
fn name_host(request: &mut Request<Incoming>) {
    if request.version() != Version::HTTP_2 || request.headers().contains_key(header::HOST) {
        return;
    }
    let host = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(header::HOST, host);
    }
}
