//! The processes measured: started on a free port with fresh data, read through /proc, stopped by their id.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Plan;
use crate::wire::{Connection, get};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(15);
/// Where the search for a free port begins.
const FIRST_PORT: u16 = 18_000;

/// A directory that is removed in the end.
#[derive(Debug)]
pub(crate) struct WorkDir(PathBuf);

impl WorkDir {
    pub(crate) fn create(plan: &Plan, name: &str) -> anyhow::Result<Self> {
        let parent = plan.work_dir.clone().unwrap_or_else(std::env::temp_dir);
        let path = parent.join(format!("scorewire-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running process that listens. Killed if it is dropped without being stopped.
pub(crate) struct Running {
    child: Child,
    pid: Pid,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a command that takes `--listen` and answers `ready` with 200 once it works.
    pub(crate) async fn start(mut command: Command, log: &Path, ready: &str) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let child = command
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .context("could not start a server: is it built?")?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("the server is gone")?;
        let mut running = Self { child, pid, address };
        let answers = async {
            while !running.is_ready(ready).await {
                if let Some(status) = running.child.try_wait()? {
                    bail!("the server ended ({status}): {}", std::fs::read_to_string(log).unwrap_or_default());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, answers).await.context("the server did not get ready")??;
        Ok(running)
    }

    async fn is_ready(&self, path: &str) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else { return false };
        connection.exchange(&get(path)).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Asks the process to end and waits for it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM)?;
        tokio::time::timeout(STOP, self.child.wait()).await.context("the server did not stop")??;
        Ok(())
    }

    /// Processor time used so far, in µs.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        cpu_us(&self.pid.as_raw_nonzero().to_string())
    }

    /// Memory in MB (10^6 bytes): resident, proportional and anonymous.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid.as_raw_nonzero()))?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("a field of smaps_rollup")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1_024.0 / 1e6)
        };
        Ok(Memory { resident: field("Rss:")?, proportional: field("Pss:")?, anonymous: field("Anonymous:")? })
    }
}

/// Memory of a process in MB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) proportional: f64,
    pub(crate) anonymous: f64,
}

/// Processor time this process has used so far, in µs.
pub(crate) fn own_cpu_us() -> anyhow::Result<f64> {
    cpu_us("self")
}

fn cpu_us(pid: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the name in parentheses, may hold anything; utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
    let mut ticks = 0.0;
    for field in fields.split_ascii_whitespace().skip(11).take(2) {
        ticks += field.parse::<f64>()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "about a hundred")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(ticks / per_second * 1e6)
}

/// A port below those that outgoing connections get.
fn free_port() -> anyhow::Result<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_ascii_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    (FIRST_PORT..ephemeral)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port below the ephemeral range")
}

/// A Scorewire server with fresh data.
pub(crate) struct Scorewire {
    pub(crate) running: Running,
    pub(crate) token: String,
    dir: WorkDir,
}

impl Scorewire {
    pub(crate) async fn start(plan: &Plan, name: &str) -> anyhow::Result<Self> {
        let dir = WorkDir::create(plan, name)?;
        let server = std::path::absolute(&plan.server)?;
        let data = dir.path().join("data");
        let scorewire = |subcommand: &str| {
            let mut command = Command::new(&server);
            // Neither the caller's settings file nor its environment shall change what is measured.
            command.env_clear().current_dir(dir.path()).arg(subcommand).arg("--data-dir").arg(&data);
            command
        };
        let mut serve = scorewire("serve");
        serve.args(["--sample", "--rate-limit-subject", "off", "--rate-limit-ip", "off"]);
        let running = Running::start(serve, &dir.path().join("log"), "/readyz").await?;
        let printed = scorewire("token")
            .args(["--user", "bench", "--scope", "scores:write:any,users:write"])
            .output()
            .await
            .context("could not get a token")?;
        if !printed.status.success() {
            bail!("could not get a token: {}", String::from_utf8_lossy(&printed.stderr));
        }
        let token = String::from_utf8(printed.stdout)?.trim().to_owned();
        Ok(Self { running, token, dir })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Stops the server and removes its data.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { running, dir, .. } = self;
        running.stop().await?;
        drop(dir);
        Ok(())
    }
}
