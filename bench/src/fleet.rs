//! A fleet: API and worker processes that share a Redis and a PostgreSQL of the benchmark's own.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tokio::process::Command;

use crate::Plan;
use crate::process::{Process, Running, TOKEN, WorkDir, children, cpu_us, family_cpu_us, output, own_cpu_us, peak_mb};
use crate::servers::{self, Fsync, Server};

/// All processes share it; it protects nothing.
const SECRET: &str = "a-secret-of-the-benchmark-which-protects-nothing";

/// A running fleet. Its API processes come and go, so that what runs without them is measured without them.
pub(crate) struct Fleet<'a> {
    plan: &'a Plan,
    pub(crate) token: String,
    pub(crate) apis: Vec<Running>,
    workers: Vec<Process>,
    redis: Server,
    postgres: Server,
    dir: WorkDir,
}

/// A value for each kind of process, in the order of [`PROCESSES`].
pub(crate) type PerProcess = [f64; 5];

/// The kinds of process.
pub(crate) const PROCESSES: [&str; 5] = ["generator", "api", "worker", "redis-server", "postgres"];

impl<'a> Fleet<'a> {
    /// Starts everything but the API processes.
    pub(crate) async fn start(plan: &'a Plan, fsync: Fsync) -> anyhow::Result<Self> {
        let dir = WorkDir::create(plan, &format!("fleet-{}", fsync.setting()))?;
        let (redis, postgres) = (servers::redis(plan, fsync).await?, servers::postgres(plan).await?);
        let (server, worker) = (std::path::absolute(&plan.server)?, std::path::absolute(&plan.worker)?);
        let mut fleet =
            Self { plan, token: String::new(), apis: Vec::new(), workers: Vec::new(), redis, postgres, dir };
        output(fleet.command(&server).arg("migrate")).await?;
        fleet.token = output(fleet.command(&server).arg("token").args(TOKEN)).await?;
        for n in 0..plan.workers {
            let log = fleet.dir.path().join(format!("worker-{n}.log"));
            fleet.workers.push(Process::start(&mut fleet.command(&worker), log)?);
        }
        Ok(fleet)
    }

    /// Starts the API processes.
    pub(crate) async fn start_apis(&mut self) -> anyhow::Result<()> {
        let server = std::path::absolute(&self.plan.server)?;
        for n in 0..self.plan.apis {
            let mut api = self.command(&server);
            api.args(["serve", "--role", "api", "--rate-limit-subject", "off", "--rate-limit-ip", "off"]);
            api.args(["--rate-limit-streams", "off"]);
            let log = self.dir.path().join(format!("api-{n}.log"));
            self.apis.push(Running::start(api, &log, "/readyz").await?);
        }
        Ok(())
    }

    pub(crate) async fn stop_apis(&mut self) -> anyhow::Result<()> {
        for api in self.apis.drain(..) {
            api.stop().await?;
        }
        Ok(())
    }

    /// Where the API processes listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.apis.iter().map(|api| api.address).collect()
    }

    pub(crate) fn redis_url(&self) -> &str {
        &self.redis.url
    }

    /// Processor time used so far, in µs.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<PerProcess> {
        let sum = |ids: Vec<String>| ids.iter().map(|id| cpu_us(id)).sum::<anyhow::Result<f64>>();
        Ok([
            own_cpu_us()?,
            sum(self.apis.iter().map(Running::id).collect())?,
            sum(self.workers.iter().map(Process::id).collect())?,
            cpu_us(&self.redis.process.id())?,
            family_cpu_us(&self.postgres.process.id())?,
        ])
    }

    /// The most memory a single process of each kind had resident so far, in MB.
    pub(crate) fn peaks_mb(&self) -> anyhow::Result<PerProcess> {
        let most = |ids: Vec<String>| {
            ids.iter().try_fold(0.0, |most: f64, id| anyhow::Ok(most.max(peak_mb(id).unwrap_or_default())))
        };
        let postgres = self.postgres.process.id();
        Ok([
            peak_mb("self")?,
            most(self.apis.iter().map(Running::id).collect())?,
            most(self.workers.iter().map(Process::id).collect())?,
            peak_mb(&self.redis.process.id())?,
            most(children(&postgres)?.into_iter().chain([postgres]).collect())?,
        ])
    }

    /// Stops all processes, those that others need last, and removes their data.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_apis().await?;
        for worker in self.workers {
            worker.stop(Signal::TERM).await?;
        }
        self.redis.stop().await?;
        self.postgres.stop().await?;
        drop(self.dir);
        Ok(())
    }

    /// A program that knows where Redis and the database are, and nothing else of its surroundings.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("DATABASE_URL", &self.postgres.url)
            .env("REDIS_URL", &self.redis.url)
            .env("JWT_SECRET", SECRET)
            .current_dir(self.dir.path());
        command
    }
}
