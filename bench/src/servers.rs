//! The servers a fleet stands on: a Redis and a PostgreSQL of the benchmark's own, durable as in production.

use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use anyhow::Context;
use rustix::process::{Signal, geteuid};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Plan;
use crate::process::{Process, WorkDir, free_port, output};

/// When Redis flushes its log of changes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    EverySecond,
    Always,
}

impl Fsync {
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }
}

/// A server, its URL and its data.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    stop: Signal,
    dir: WorkDir,
}

impl Server {
    /// Stops the server and removes its data.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { process, stop, dir, .. } = self;
        process.stop(stop).await?;
        drop(dir);
        Ok(())
    }
}

/// An empty Redis that logs every change.
pub(crate) async fn redis(plan: &Plan, fsync: Fsync) -> anyhow::Result<Server> {
    let dir = WorkDir::create(plan, &format!("redis-{}", fsync.setting()))?;
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", fsync.setting(), "--maxmemory-policy", "noeviction", "--dir"])
        .arg(dir.path());
    let process = Process::start(&mut command, dir.path().join("log"))?;
    let process = process.until_ready(|| pongs(port)).await?;
    Ok(Server { process, url: format!("redis://127.0.0.1:{port}"), stop: Signal::TERM, dir })
}

/// An empty PostgreSQL with the settings it ships with: `fsync` and `synchronous_commit` are on.
pub(crate) async fn postgres(plan: &Plan) -> anyhow::Result<Server> {
    let dir = WorkDir::create(plan, "postgres")?;
    let user = unprivileged();
    if let Some(user) = user {
        chown(dir.path(), Some(user), Some(user))?;
    }
    let programs = programs()?;
    let program = |name: &str| {
        let mut command = Command::new(programs.join(name));
        // It may not be allowed to enter the directory the benchmark runs in.
        command.current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command
    };
    let data = dir.path().join("data");
    let initdb = ["-U", "scorewire", "-A", "trust", "-E", "UTF8", "--locale", "C", "-D"];
    output(program("initdb").args(initdb).arg(&data)).await?;
    let port = free_port()?.to_string();
    let mut server = program("postgres");
    server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-k"]).arg(dir.path());
    let process = Process::start(&mut server, dir.path().join("log"))?;
    let url = format!("postgres://scorewire@127.0.0.1:{port}/postgres");
    let process = process.until_ready(|| async { PgConnection::connect(&url).await.is_ok() }).await?;
    Ok(Server { process, url, stop: Signal::INT, dir })
}

/// Whether a Redis has read its data and answers.
async fn pongs(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    ping.await.unwrap_or(false)
}

/// PostgreSQL refuses to run as root; then it runs as nobody.
fn unprivileged() -> Option<u32> {
    const NOBODY: u32 = 65_534;
    geteuid().is_root().then_some(NOBODY)
}

/// Where PostgreSQL's programs are: `PG_BIN`, else the newest version that the system's packages installed.
fn programs() -> anyhow::Result<PathBuf> {
    if let Some(directory) = std::env::var_os("PG_BIN") {
        return Ok(directory.into());
    }
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = installed.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version);
    Ok(newest.context("PostgreSQL is not installed (Debian: postgresql), and PG_BIN names no directory")?.join("bin"))
}
