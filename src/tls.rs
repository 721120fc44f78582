//! TLS: 1.2 and 1.3, HTTP/2 or HTTP/1.1 by the client's choice, and certificates that are renewed without a restart.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use scorewire_core::settings::Settings;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

use crate::listener::{Protocol, Transport};

/// How often the files are looked at. Renewals are due days before the end.
const LOOK: Duration = Duration::from_secs(60);
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Speaks TLS on accepted sockets.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// TLS as the settings want it; `None` where they name no certificate.
    ///
    /// # Errors
    /// When only one of certificate and key is named, or the files can not be used.
    pub(crate) fn from_settings(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let (cert, key) = match (&settings.tls_cert.0, &settings.tls_key.0) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(_), None) => bail!("tls_cert is set and tls_key is not: TLS needs both"),
            (None, Some(_)) => bail!("tls_key is set and tls_cert is not: TLS needs both"),
        };
        // Named here, so that no other provider a dependency may bring is ever chosen.
        let provider = Arc::new(ring::default_provider());
        let certificate = Arc::new(Certificate::open(Files { cert, key }, Arc::clone(&provider))?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate }))
    }

    /// Takes up renewed files, for ever: when they changed, looked at now and then, and at once on SIGHUP.
    ///
    /// # Errors
    /// When the signal can not be awaited.
    pub(crate) fn renew(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        // Taken now and not by the task: until then the signal ends the process.
        let mut asked = signal(SignalKind::hangup())?;
        let certificate = Arc::clone(&self.certificate);
        Ok(async move {
            loop {
                let by_wish = tokio::select! {
                    () = tokio::time::sleep(LOOK) => false,
                    _ = asked.recv() => true,
                };
                let certificate = Arc::clone(&certificate);
                let _ = tokio::task::spawn_blocking(move || certificate.look(by_wish)).await;
            }
        })
    }
}

impl Transport for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn open(&self, socket: TcpStream) -> io::Result<(Self::Stream, Protocol)> {
        let stream = self.acceptor.accept(socket).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((stream, protocol))
    }

    fn refuse(&self, _: &TcpStream) {
        // Nothing can be said before a handshake, which is what there is no room for.
    }
}

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells one state of a file from another.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Files {
    fn stamps(&self) -> [Stamp; 2] {
        let stamp = |file: Metadata| (file.ino(), file.mtime(), file.mtime_nsec(), file.len());
        [&self.cert, &self.key].map(|path| path.metadata().ok().map(stamp))
    }

    fn read(&self, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let unusable = |what: &str, path: &Path| format!("{what} {} can not be used", path.display());
        let chain = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| unusable("the certificate (tls_cert)", &self.cert))?;
        if chain.is_empty() {
            bail!("{}: it holds no certificate in PEM", unusable("the certificate (tls_cert)", &self.cert));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| unusable("the private key (tls_key)", &self.key))?;
        CertifiedKey::from_der(chain, key, provider)
            .with_context(|| unusable("the private key (tls_key) with its certificate", &self.key))
    }
}

/// The certificate that is shown, and the files it came from.
#[derive(Debug)]
struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    shown: RwLock<(Arc<CertifiedKey>, [Stamp; 2])>,
}

impl Certificate {
    fn open(files: Files, provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let stamps = files.stamps();
        let key = Arc::new(files.read(&provider)?);
        Ok(Self { files, provider, shown: RwLock::new((key, stamps)) })
    }

    /// Reads the files if they changed, or in any case; what can not be used changes nothing.
    fn look(&self, in_any_case: bool) {
        // Taken before reading: what is written from now on is seen by the next look.
        let stamps = self.files.stamps();
        if !in_any_case && self.shown.read().unwrap_or_else(PoisonError::into_inner).1 == stamps {
            return;
        }
        let read = self.files.read(&self.provider);
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        // One warning for each state of the files.
        shown.1 = stamps;
        match read {
            Ok(key) => {
                shown.0 = Arc::new(key);
                tracing::info!(certificate = %self.files.cert.display(), "the certificate was read anew");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "a renewed certificate can not be used: the one before stays");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}
