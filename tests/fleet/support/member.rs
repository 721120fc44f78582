//! One process of a fleet, under a name that outlives it.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::sync::{Mutex, watch};

use crate::support::{ServerProcess, limited_command};

/// An API or worker process that can be killed, stopped, continued and started again.
pub(crate) struct Member {
    pub(crate) name: String,
    data_dir: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    process: Mutex<Option<ServerProcess>>,
    url: watch::Sender<String>,
}

impl Member {
    pub(super) fn new(dir: &Path, name: String, arguments: Vec<String>) -> Self {
        Self {
            data_dir: dir.join(&name),
            log: dir.join(format!("{name}.log")),
            name,
            arguments,
            process: Mutex::new(None),
            url: watch::Sender::default(),
        }
    }

    /// Starts it and waits until it says where it listens.
    pub(crate) async fn start(&self) {
        let mut process = self.process.lock().await;
        assert!(process.is_none(), "{} runs", self.name);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let started = ServerProcess::start_logging(limited_command(&self.data_dir, &arguments), &self.log).await;
        self.url.send_replace(started.url.clone());
        *process = Some(started);
    }

    /// Kills it at once (-9).
    pub(crate) async fn kill(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await;
        }
    }

    /// Asks it to end (SIGTERM), and waits until it has ended well.
    pub(crate) async fn stop(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.terminate().await;
        }
    }

    /// Stops it as it stands (SIGSTOP) while the future runs, then lets it go on.
    pub(crate) async fn stopped_while(&self, work: impl Future<Output = ()>) {
        // Held all the while: nobody kills or starts what stands still.
        let process = self.process.lock().await;
        let process = process.as_ref().expect("it runs");
        process.signal(Signal::STOP);
        work.await;
        process.signal(Signal::CONT);
    }

    /// Where it listens, or did.
    pub(crate) fn url(&self) -> String {
        self.url.borrow().clone()
    }
}
