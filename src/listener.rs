//! Our own accept loop: limits on connections, timeouts on clients that stall, and an orderly end.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use scorewire_core::metrics::Metrics;
use scorewire_core::settings::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::Filter;

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

/// Counts open connections, in all and per address.
struct Connections {
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
}

impl Connections {
    /// A place for a connection of this address, if there is one.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_ip) = &mut *open;
        let of_ip = by_ip.get(&address).copied().unwrap_or_default();
        if *total >= self.limits.total || of_ip >= self.limits.per_ip {
            self.metrics.refused.inc();
            return None;
        }
        *total += 1;
        by_ip.insert(address, of_ip + 1);
        self.metrics.connections.inc();
        Some(Admitted { connections: Arc::clone(self), address })
    }
}

/// A connection's place; given back when dropped.
struct Admitted {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_ip) = &mut *open;
        *total -= 1;
        if let Some(of_ip) = by_ip.get_mut(&self.address) {
            *of_ip -= 1;
            if *of_ip == 0 {
                by_ip.remove(&self.address);
            }
        }
        self.connections.metrics.connections.dec();
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
    let connections = Arc::new(Connections { open: Mutex::default(), limits, metrics });
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
                    tasks.spawn(connection(stream, admitted, routes.clone(), limits, stop.clone()));
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
    routes: F,
    limits: ConnectionLimits,
    stop: CancellationToken,
) where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    // Small writes must not wait for acknowledgements of earlier ones.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    // A body is not polled while its connection takes nothing, so the connection itself must give up.
    stream.set_write_timeout(Some(limits.write_timeout));
    let peer = admitted.address;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let uri = request.uri().clone();
        request.extensions_mut().insert(Arrival { peer, uri });
        warp::service(routes.clone()).call(request)
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(64)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
    drop(admitted);
}
