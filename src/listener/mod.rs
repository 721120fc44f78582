//! Our own accept loop: limits on connections, timeouts on clients that stall, and an orderly end.

mod admission;
mod held;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use scorewire_core::metrics::Metrics;
use scorewire_core::settings::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_service::Service;
use warp::Filter;

use self::admission::{Admitted, Connections};
use self::held::Held;
use crate::http::{Arrival, Response};

/// Answers a connection over a limit without reading its request.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// Pause after an accept that failed for lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What connections may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    total: usize,
    per_ip: usize,
    header_timeout: Duration,
    write_timeout: Duration,
}

impl ConnectionLimits {
    pub(crate) const fn from_settings(settings: &Settings) -> Self {
        Self {
            total: settings.max_connections,
            per_ip: settings.max_connections_per_ip,
            header_timeout: settings.header_timeout.0,
            write_timeout: settings.write_timeout.0,
        }
    }
}

/// Accepts connections until `stop`, then waits at most `grace` for those in flight.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    routes: F,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    grace: Duration,
) where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let connections = Connections::new(limits, metrics);
    let tasks = TaskTracker::new();
    // Given up for a moment when descriptors run out, so that the waiting client is told instead of hanging.
    let mut reserve = File::open("/dev/null").ok();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => match connections.admit(peer.ip().to_canonical()) {
                Some(admitted) => {
                    let awaited = tasks.token();
                    tokio::spawn(connection(stream, admitted, awaited, routes.clone(), limits, stop.clone()));
                }
                None => refuse(&stream),
            },
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                if is_exhaustion(&error) {
                    drop(reserve.take());
                    if let Ok(Ok((stream, _))) = tokio::time::timeout(ACCEPT_PAUSE, listener.accept()).await {
                        refuse(&stream);
                    }
                    reserve = File::open("/dev/null").ok();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections were still open when the time to end was over");
    }
}

/// Too many open files, in the process or in the system, or no memory for another socket.
fn is_exhaustion(error: &io::Error) -> bool {
    // ENOMEM, ENFILE, EMFILE, ENOBUFS
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}

fn refuse(stream: &TcpStream) {
    // A fresh socket takes these few bytes at once; a client that is gone needs none.
    let _ = stream.try_write(TOO_MANY);
}

async fn connection<F>(
    stream: TcpStream,
    admitted: Admitted,
    awaited: TaskTrackerToken,
    routes: F,
    limits: ConnectionLimits,
    stop: CancellationToken,
) where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    prepare(&stream, limits.write_timeout);
    let peer = admitted.address;
    let stream = Held::new(stream, limits.write_timeout, admitted, awaited);
    let cut = CancellationToken::new();
    let cutting = cut.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let upgrade = wants_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        let arrival = Arrival { peer, uri: request.uri().clone(), upgrade, cut: cutting.clone() };
        request.extensions_mut().insert(arrival);
        warp::service(routes.clone()).call(request)
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cut.cancelled() => Ok(()),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
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
