//! A server in a process of its own, for tests that kill it.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::within;

/// A `scorewire serve` process.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) url: String,
}

impl ServerProcess {
    /// Starts one and waits until it says where it listens.
    pub(crate) async fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        match Self::try_start(command(data_dir, arguments)).await {
            Ok(process) => process,
            Err(said) => panic!("the server did not start: {said}"),
        }
    }

    /// Starts one that may refuse; returns what it said then.
    pub(crate) async fn try_start(mut command: Command) -> Result<Self, String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server's binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = within("the server to listen", lines.next_line()).await.expect("text");
        let Some(url) = first.and_then(|line| Some(line.split_once(" listens on ")?.1.to_owned())) else {
            let mut said = String::new();
            child.stderr.take().expect("its errors").read_to_string(&mut said).await.expect("text");
            return Err(said);
        };
        // Keeps reading, so that it never blocks on its own output.
        let mut errors = BufReader::new(child.stderr.take().expect("its errors")).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
        Ok(Self { child, url: url.replace("localhost", "127.0.0.1") })
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a signal");
    }

    /// Lifts the limit on the size of its files.
    pub(crate) fn allow_large_files(&self) {
        let unlimited = Rlimit { current: None, maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, unlimited).expect("its own user may");
    }

    fn pid(&self) -> Pid {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a living process")
    }

    /// Kills it at once and waits for its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it dies");
    }

    /// Asks it to end, and waits until it has ended well.
    pub(crate) async fn terminate(mut self) {
        self.signal(Signal::TERM);
        let status = within("the server to end", self.child.wait()).await.expect("a status");
        assert!(status.success(), "ended with {status}");
    }
}

/// The server's command line, on a free port and without rate limits.
pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0", "--rate-limit-subject", "off", "--rate-limit-ip", "off"])
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments);
    command
}
