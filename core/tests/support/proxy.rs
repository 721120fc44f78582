//! A TCP proxy whose connections can die without telling anybody.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards to a port of this machine until dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// Connections of older generations than this forward nothing, and stay open.
    frozen: Arc<watch::Sender<u64>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let frozen = Arc::new(watch::Sender::new(0));
        let generation = Arc::clone(&frozen);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { continue };
                let born = *generation.borrow();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(forward(near_read, far_write, born, generation.subscribe()));
                tokio::spawn(forward(far_read, near_write, born, generation.subscribe()));
            }
        });
        Self { port, frozen, accepting }
    }

    /// From now on nothing passes through connections opened before.
    pub(crate) fn freeze(&self) {
        self.frozen.send_modify(|generation| *generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, born: u64, mut frozen: watch::Receiver<u64>) {
    let mut bytes = vec![0; 64 * 1_024];
    loop {
        let read = tokio::select! {
            // First: what is sent after freezing never passes.
            biased;
            _ = frozen.wait_for(|generation| *generation > born) => break,
            read = from.read(&mut bytes) => read.unwrap_or(0),
        };
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    // Both sockets stay open, so that nobody is told, until the proxy is gone.
    while frozen.changed().await.is_ok() {}
}
