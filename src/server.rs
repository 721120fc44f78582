//! A running server: wiring, workers, hub and listener, and the order in which they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use scorewire_core::acceptance::Acceptor;
use scorewire_core::data_dir;
use scorewire_core::domain::BoardId;
use scorewire_core::queue_watch;
use scorewire_core::settings::units::Role;
use scorewire_core::settings::{Feed, Settings};
use scorewire_core::wiring::Wiring;
use scorewire_workers::{Workers, reconcile};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::http::auth::Tokens;
use crate::http::{self, App};
use crate::listener::{self, ConnectionLimits, Sockets};
use crate::live::Hub;
use crate::tls::Tls;

/// How often idle rate-limit buckets are forgotten.
const FORGET_LIMITS: Duration = Duration::from_secs(60);

/// A server that answers.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens with TLS, if it does.
    pub tls_address: Option<SocketAddr>,
    /// Everything inside, for tools that share the process.
    pub wiring: Wiring,
    /// Accepts updates the way the API does.
    pub acceptor: Acceptor,
    /// The signing secret was made just now.
    pub new_secret: bool,
    listening: tokio::task::JoinHandle<()>,
    /// `None` when other processes do the work.
    workers: Option<Workers>,
    watching: AbortOnDropHandle<()>,
    /// Takes up renewed certificates.
    renewing: Option<AbortOnDropHandle<()>>,
    stop: CancellationToken,
    hub_closing: CancellationToken,
    workers_stop: CancellationToken,
}

/// Tokens signed with the configured secret, or with the data directory's, made now if need be.
///
/// # Errors
/// When the secret is too short or can not be stored.
pub fn tokens(settings: &Settings) -> anyhow::Result<(Tokens, bool)> {
    let (secret, new) = match &settings.jwt_secret.0 {
        Some(secret) => (secret.0.clone(), false),
        // Tokens signed by one process would be refused by the next.
        None if settings.redis_url.0.is_some() && settings.role != Role::Worker => {
            anyhow::bail!("JWT_SECRET is not set: all processes of a fleet need the same secret of at least 32 bytes")
        }
        None => data_dir::secret_or_new(&settings.data_dir)?,
    };
    Ok((Tokens::new(&secret, settings)?, new))
}

impl Server {
    /// Opens everything and begins to listen. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// In words that say what to change.
    pub async fn start(settings: Settings, feeds: Vec<Feed>) -> anyhow::Result<Self> {
        scorewire_core::tls::install_provider();
        // Looked at first: it is soon said, and nothing is held yet.
        let tls = Tls::from_settings(&settings)?;
        let wiring = Wiring::open(&settings, feeds).await?;
        let (tokens, new_secret) = tokens(&settings)?;
        if let Err(error) = reconcile::rebuild_lost(&wiring, &BoardId::main()).await {
            // Workers try again; until then the board answers that it is unavailable.
            tracing::warn!(%error, "the board could not be built at the start");
        }
        let plain = bind(settings.listen, "--listen").await?;
        let address = plain.local_addr()?;
        let renewing = tls.as_ref().map(Tls::renew).transpose()?;
        let renewing = renewing.map(|renewing| AbortOnDropHandle::new(tokio::spawn(renewing)));
        let tls = match tls {
            Some(tls) => Some((bind(settings.tls_listen, "--tls-listen").await?, tls)),
            None => None,
        };
        let tls_address = tls.as_ref().map(|(socket, _)| socket.local_addr()).transpose()?;
        let sockets = Sockets { plain, tls };
        wiring.announce(&local_url(address))?;

        let (stop, hub_closing, workers_stop) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let acceptor = Acceptor::start(Arc::clone(&wiring.queue), settings.job_updates, settings.queue_limit);
        let depth = acceptor.clone();
        let watching = AbortOnDropHandle::new(tokio::spawn(queue_watch::watch(
            Arc::clone(&wiring.queue),
            Arc::clone(&wiring.metrics),
            move |stats| depth.observe_depth(stats.depth),
        )));
        let works = settings.role != Role::Api;
        let workers = works.then(|| Workers::start(&wiring, &settings, &workers_stop)).transpose()?;
        let hub = Hub::start(&wiring, &settings, hub_closing.clone());
        let limits = ConnectionLimits::from_settings(&settings);
        // Viewers leave within the one, requests end within the other.
        let grace = settings.drain_window.0 + settings.shutdown_timeout.0;
        let app = Arc::new(App::new(
            settings,
            wiring.clone(),
            acceptor.clone(),
            tokens,
            hub,
            hub_closing.clone(),
            workers.as_ref().map(Workers::health),
        ));
        tokio::spawn(forget_limits(Arc::downgrade(&app)));
        let metrics = Arc::clone(&wiring.metrics);
        let listening = tokio::spawn(listener::serve(sockets, http::filter(app), limits, metrics, stop.clone(), grace));
        Ok(Self {
            address,
            tls_address,
            wiring,
            acceptor,
            new_secret,
            listening,
            workers,
            watching,
            renewing,
            stop,
            hub_closing,
            workers_stop,
        })
    }

    /// Ends in order: no new connections, viewers told to come back, requests in flight answered, jobs in hand
    /// decided, files closed. What is queued stays queued.
    pub async fn stop(self) {
        self.stop.cancel();
        self.hub_closing.cancel();
        if let Err(error) = self.listening.await {
            tracing::error!(%error, "the listener ended by a panic");
        }
        drop((self.watching, self.renewing, self.acceptor));
        self.workers_stop.cancel();
        if let Some(workers) = self.workers {
            workers.stopped().await;
        }
        self.wiring.close().await;
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("could not listen on {address}: is another server there? Choose another with {flag}"))
}

/// How a tool on the same machine reaches an address.
#[must_use]
pub fn local_url(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => format!("http://localhost:{port}"),
        ip => format!("http://{}", SocketAddr::new(ip, port)),
    }
}

async fn forget_limits(app: std::sync::Weak<App>) {
    loop {
        tokio::time::sleep(FORGET_LIMITS).await;
        let Some(app) = app.upgrade() else { return };
        app.forget_idle_limits();
    }
}
