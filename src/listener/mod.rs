//! Our own accept loop: limits on connections, timeouts on clients that stall, and an orderly end.

mod admission;
mod connection;
mod held;
mod taken;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use scorewire_core::metrics::Metrics;
use scorewire_core::settings::Settings;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::Filter;

use self::admission::Connections;
use crate::http::Response;
use crate::tls::Tls;

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

/// Which HTTP a client chose to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What makes of an accepted socket the stream that HTTP is spoken on.
pub(crate) trait Transport: Clone + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + 'static;

    /// Opens the stream; whoever asks limits the time.
    fn open(&self, socket: TcpStream) -> impl Future<Output = io::Result<(Self::Stream, Protocol)>> + Send;

    /// Says to a socket that there is no room, where that can be said.
    fn refuse(&self, socket: &TcpStream);
}

/// The socket itself.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn open(&self, socket: TcpStream) -> io::Result<(TcpStream, Protocol)> {
        Ok((socket, Protocol::Http1))
    }

    fn refuse(&self, socket: &TcpStream) {
        // A fresh socket takes these few bytes at once; a client that is gone needs none.
        let _ = socket.try_write(TOO_MANY);
    }
}

/// What answers requests.
pub(crate) trait Routes:
    Filter<Extract = (Response,), Error = std::convert::Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<F> Routes for F where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The sockets to listen on.
pub(crate) struct Sockets {
    pub(crate) plain: TcpListener,
    pub(crate) tls: Option<(TcpListener, Tls)>,
}

/// What all sockets share.
struct Listener<R> {
    routes: R,
    limits: ConnectionLimits,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Accepts connections until `stop`, then waits at most `grace` for those in flight.
pub(crate) async fn serve<R: Routes>(
    sockets: Sockets,
    routes: R,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    grace: Duration,
) {
    let connections = Connections::new(limits, metrics);
    let listener = Listener { routes, limits, connections, tasks: TaskTracker::new(), stop };
    let over_tls = async {
        if let Some((socket, tls)) = sockets.tls {
            listener.accept(socket, tls).await;
        }
    };
    tokio::join!(listener.accept(sockets.plain, Plain), over_tls);
    listener.tasks.close();
    if tokio::time::timeout(grace, listener.tasks.wait()).await.is_err() {
        let connections = listener.tasks.len();
        tracing::warn!(connections, "connections were still open when the time to end was over");
    }
}

impl<R: Routes> Listener<R> {
    /// Accepts from one socket until the stop.
    async fn accept<T: Transport>(&self, socket: TcpListener, transport: T) {
        // Given up for a moment when descriptors run out, so that the waiting client is told instead of hanging.
        let mut reserve = File::open("/dev/null").ok();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => match self.connections.admit(peer.ip().to_canonical()) {
                    Some(admitted) => {
                        let held = (admitted, self.tasks.token());
                        let (routes, stop) = (self.routes.clone(), self.stop.clone());
                        tokio::spawn(connection::serve(stream, transport.clone(), held, routes, self.limits, stop));
                    }
                    None => transport.refuse(&stream),
                },
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    if is_exhaustion(&error) {
                        drop(reserve.take());
                        if let Ok(Ok((stream, _))) = tokio::time::timeout(ACCEPT_PAUSE, socket.accept()).await {
                            transport.refuse(&stream);
                        }
                        reserve = File::open("/dev/null").ok();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
}

/// Too many open files, in the process or in the system, or no memory for another socket.
fn is_exhaustion(error: &io::Error) -> bool {
    // ENOMEM, ENFILE, EMFILE, ENOBUFS
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}
