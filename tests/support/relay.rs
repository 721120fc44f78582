//! A TCP relay whose connections can be cut, for clients that come back by themselves.
//!
//! It also keeps an address while the server behind it is restarted: the port of a server that is gone belongs to whoever
//! takes it next, and tests run side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards to a server of this machine until dropped.
pub(crate) struct Relay {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    cut: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Arc::new(Mutex::new(server));
        let leads_to = Arc::clone(&server);
        let cut = watch::Sender::new(());
        let cuts = cut.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let server = *leads_to.lock().expect("a lock");
                let Ok(mut far) = TcpStream::connect(server).await else { continue };
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = cut.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { url: format!("http://{address}"), address, server, cut, accepting }
    }

    /// Forwards to another server from now on.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().expect("a lock") = server;
    }

    /// Ends every connection there is; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}
