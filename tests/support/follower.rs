//! A program that follows a stream and writes what it gets, line by line.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{SseEvent, within};

/// A running program.
pub(crate) struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Starts a program; what it says beside its lines goes to the test's own standard error.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// curl, which writes a stream as it comes.
    pub(crate) fn curl(url: &str, last_event_id: Option<&str>) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--no-buffer", "--fail", url]);
        if let Some(id) = last_event_id {
            command.arg("--header").arg(format!("Last-Event-ID: {id}"));
        }
        Self::start(&mut command)
    }

    /// The next line; `None` when it has closed its output.
    pub(crate) async fn line(&mut self) -> Option<String> {
        within("a line", self.lines.next_line()).await.expect("text")
    }

    /// The next line, read as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        let line = self.line().await.expect("the program goes on");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// The next event of a stream that is written out as it is.
    pub(crate) async fn event(&mut self) -> SseEvent {
        let (mut event, mut id, mut data) = (None, None, None);
        loop {
            let line = self.line().await.expect("the stream goes on");
            match line.split_once(": ") {
                Some(("event", value)) => event = Some(value.to_owned()),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data = Some(serde_json::from_str(value).expect("data is JSON")),
                _ => {}
            }
            if line.is_empty()
                && let Some(event) = event.take()
            {
                return SseEvent { event, id: id.expect("an id"), data: data.expect("data") };
            }
        }
    }

    /// Asks it to end as Ctrl-C does, and returns whether it ended well.
    pub(crate) async fn interrupt(mut self) -> bool {
        let pid = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        rustix::process::kill_process(pid.expect("a living process"), rustix::process::Signal::INT).expect("a signal");
        within("the program to end", self.child.wait()).await.expect("a status").success()
    }

    /// Reads no more and waits for its end; returns whether it ended well.
    pub(crate) async fn deaf(mut self) -> bool {
        drop(self.lines);
        within("the program to end", self.child.wait()).await.expect("a status").success()
    }

    /// Kills it at once and waits for its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it dies");
    }
}
