//! A private nginx in front of a server, on a free port, as an ordinary process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::eventually;

const UPGRADES: &str = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

/// Forwards as most configurations on the internet do, until dropped: `/1.0/…` over HTTP/1.0, `/1.1/…` over HTTP/1.1,
/// and the rest, too, with buffering and timeouts as they are by default.
pub(crate) struct Nginx {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    _process: Child,
    _dir: TempDir,
}

impl Nginx {
    /// One that lets WebSocket pass.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        Self::start(server, UPGRADES).await
    }

    /// One that nobody told about WebSocket.
    pub(crate) async fn without_upgrades(server: SocketAddr) -> Self {
        Self::start(server, "").await
    }

    async fn start(server: SocketAddr, upgrades: &str) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
            if let Some(nginx) = Self::try_start(free, server, upgrades).await {
                return nginx;
            }
            // Another process took the port in between.
        }
        panic!("nginx does not start");
    }

    async fn try_start(listen: SocketAddr, server: SocketAddr, upgrades: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("nginx.conf");
        std::fs::write(&config, configuration(listen, server, upgrades)).expect("written");
        // Debian keeps it where only root looks.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut process = Command::new("nginx")
            .env("PATH", path)
            .args(["-e", "stderr", "-p"])
            .arg(dir.path())
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("nginx does not start ({e}): `make test` installs it"));
        let mut said = BufReader::new(process.stderr.take().expect("its errors")).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                eprintln!("nginx: {line}");
            }
        });
        let running = eventually("nginx to listen", || async { TcpStream::connect(listen).await.ok() });
        tokio::select! {
            // One that found its port taken.
            _ = process.wait() => return None,
            _ = running => {}
        }
        Some(Self { url: format!("http://{listen}"), address: listen, _process: process, _dir: dir })
    }
}

fn configuration(listen: SocketAddr, server: SocketAddr, upgrades: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind}_temp;\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid nginx.pid;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            {temporary}
            server {{
                listen {listen};
                location /1.0/ {{ proxy_pass http://{server}/; proxy_http_version 1.0; }}
                location /1.1/ {{ proxy_pass http://{server}/; proxy_http_version 1.1; proxy_set_header Connection ''; }}
                location / {{ proxy_pass http://{server}; proxy_http_version 1.1; {upgrades} }}
            }}
        }}"
    )
}
