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
const POLL: Duration = Duration::from_millis(20);
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

/// A running process. Killed if it is dropped without being stopped.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts a command; what it says on standard error goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {}: is it there?", program.display()))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("the process is gone")?;
        Ok(Self { child, pid, log })
    }

    /// Waits until `is_ready` says so.
    pub(crate) async fn until_ready<F: Future<Output = bool>>(
        mut self,
        is_ready: impl Fn() -> F,
    ) -> anyhow::Result<Self> {
        let answers = async {
            while !is_ready().await {
                if let Some(status) = self.child.try_wait()? {
                    bail!("a server ended ({status}): {}", std::fs::read_to_string(&self.log).unwrap_or_default());
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, answers).await.context("a server did not get ready")??;
        Ok(self)
    }

    pub(crate) fn id(&self) -> String {
        self.pid.as_raw_nonzero().to_string()
    }

    /// Asks the process to end and waits for it.
    pub(crate) async fn stop(mut self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid, signal)?;
        tokio::time::timeout(STOP, self.child.wait()).await.context("a server did not stop")??;
        Ok(())
    }
}

/// A process that listens for HTTP.
pub(crate) struct Running {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a command that takes `--listen` and answers `ready` with 200 once it works.
    pub(crate) async fn start(mut command: Command, log: &Path, ready: &str) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        command.args(["--listen", &address.to_string()]);
        let process = Process::start(&mut command, log.to_owned())?;
        let process = process.until_ready(|| is_ready(address, ready)).await?;
        Ok(Self { process, address })
    }

    /// Asks the process to end and waits for it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(Signal::TERM).await
    }

    pub(crate) fn id(&self) -> String {
        self.process.id()
    }

    /// Processor time used so far, in µs.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        cpu_us(&self.id())
    }

    /// Memory in MB (10^6 bytes): resident, proportional and anonymous.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        let field = |name| megabytes(&text, name);
        Ok(Memory { resident: field("Rss:")?, proportional: field("Pss:")?, anonymous: field("Anonymous:")? })
    }
}

async fn is_ready(address: SocketAddr, path: &str) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    connection.exchange(&get(path)).await.is_ok_and(|answer| answer.status == 200)
}

/// A line of /proc that tells kB, in MB (10^6 bytes).
fn megabytes(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in /proc"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1_024.0 / 1e6)
}

/// The most memory a process had resident at once so far, in MB.
pub(crate) fn peak_mb(pid: &str) -> anyhow::Result<f64> {
    megabytes(&std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:")
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

/// Processor time a process has used so far, in µs.
pub(crate) fn cpu_us(pid: &str) -> anyhow::Result<f64> {
    ticks(&stat(pid)?, 2)
}

/// Processor time of a process and all its children so far, in µs, those that ended included.
pub(crate) fn family_cpu_us(pid: &str) -> anyhow::Result<f64> {
    let mut sum = ticks(&stat(pid)?, 4)?;
    for child in children(pid)? {
        // It may have ended since: then its time is in its parent's next reading.
        sum += stat(&child).and_then(|stat| ticks(&stat, 2)).unwrap_or_default();
    }
    Ok(sum)
}

/// Ids of a process's living children.
pub(crate) fn children(pid: &str) -> anyhow::Result<Vec<String>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        // Others than processes have no such file, and a process may end meanwhile.
        if fields(&name).is_ok_and(|fields| fields.get(1).is_some_and(|parent| parent == pid)) {
            children.push(name);
        }
    }
    Ok(children)
}

/// The fields of /proc/PID/stat from the 14th on: utime, stime, cutime, cstime, ...
fn stat(pid: &str) -> anyhow::Result<Vec<String>> {
    Ok(fields(pid)?.split_off(11))
}

/// The fields of /proc/PID/stat after the name, which may hold anything: state, parent, ...
fn fields(pid: &str) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
    Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The sum of the first `count` of them, in µs.
fn ticks(fields: &[String], count: usize) -> anyhow::Result<f64> {
    let mut ticks = 0.0;
    for field in fields.iter().take(count) {
        ticks += field.parse::<f64>()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "about a hundred")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(ticks / per_second * 1e6)
}

/// A port below those that outgoing connections get.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_ascii_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    (FIRST_PORT..ephemeral)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port below the ephemeral range")
}

/// What a token of the benchmarks may do, as arguments of `scorewire token`.
pub(crate) const TOKEN: [&str; 4] = ["--user", "bench", "--scope", "scores:write:any,users:write"];

/// What a command prints, without white space around it; fails with its own words.
pub(crate) async fn output(command: &mut Command) -> anyhow::Result<String> {
    let printed = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if !printed.status.success() {
        let said = [printed.stdout, printed.stderr].concat();
        bail!("{:?} failed: {}", command.as_std().get_program(), String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8(printed.stdout)?.trim().to_owned())
}

/// A Scorewire server with fresh data.
pub(crate) struct Scorewire {
    pub(crate) running: Running,
    pub(crate) token: String,
    dir: WorkDir,
}

impl Scorewire {
    pub(crate) async fn start(plan: &Plan, name: &str) -> anyhow::Result<Self> {
        Self::start_with(plan, name, "").await
    }

    /// With a settings file of this text.
    pub(crate) async fn start_with(plan: &Plan, name: &str, config: &str) -> anyhow::Result<Self> {
        let dir = WorkDir::create(plan, name)?;
        std::fs::write(dir.path().join("scorewire.toml"), config)?;
        let server = std::path::absolute(&plan.server)?;
        let data = dir.path().join("data");
        let scorewire = |subcommand: &str| {
            let mut command = Command::new(&server);
            // Neither the caller's settings file nor its environment shall change what is measured.
            command.env_clear().current_dir(dir.path()).arg(subcommand).arg("--data-dir").arg(&data);
            command
        };
        let mut serve = scorewire("serve");
        serve.args([
            "--sample",
            "--rate-limit-subject",
            "off",
            "--rate-limit-ip",
            "off",
            "--rate-limit-streams",
            "off",
        ]);
        let running = Running::start(serve, &dir.path().join("log"), "/readyz").await?;
        let token = output(scorewire("token").args(TOKEN)).await?;
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
