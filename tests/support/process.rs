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
        command.stderr(Stdio::piped());
        let (mut child, url) = listening(command).await;
        let mut errors = child.stderr.take().expect("its errors");
        let Some(url) = url else {
            let mut said = String::new();
            errors.read_to_string(&mut said).await.expect("text");
            return Err(said);
        };
        // Keeps reading, so that it never blocks on its own output.
        let mut errors = BufReader::new(errors).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
        Ok(Self { child, url })
    }

    /// Starts one whose log goes to the end of a file.
    pub(crate) async fn start_logging(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        command.stderr(file);
        match listening(command).await {
            (child, Some(url)) => Self { child, url },
            (_, None) => panic!("the server did not start, see {}", log.display()),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a living process")
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

    /// Limits a resource of it from now on.
    pub(crate) fn limit(&self, resource: Resource, to: u64) {
        let limit = Rlimit { current: Some(to), maximum: Some(to) };
        prlimit(Some(self.pid()), resource, limit).expect("its own user may");
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

/// Starts a server and waits until it says where it listens, if it does.
async fn listening(mut command: Command) -> (Child, Option<String>) {
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the server's binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = within("the server to listen", lines.next_line()).await.expect("text");
    let url = first.and_then(|line| Some(line.split_once(" listens on ")?.1.replace("localhost", "127.0.0.1")));
    // Keeps reading, so that it never blocks on its own output.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}

/// The server's command line, on a free port and without rate limits.
pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = limited_command(data_dir, arguments);
    command.args(["--rate-limit-subject", "off", "--rate-limit-ip", "off", "--rate-limit-streams", "off"]);
    command
}

/// The server's command line, on a free port and with its default rate limits.
pub(crate) fn limited_command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(arguments);
    command
}
