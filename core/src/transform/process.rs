//! Runs filters in a process of their own, which is killed at the deadline.
//!
//! A filter can loop for ever, fill the memory or overflow the stack, and nothing in this process could end it then.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::program::Filters;
use super::task::{Task, Transformed, Verdict};
use crate::domain::{FeedName, FetchFailure, FetchFault};
use crate::settings::Settings;

/// The argument by which a binary of ours knows that it is to run one task, and nothing else.
const ARGUMENT: &str = "transform";
/// Processes at once: each may use a whole core until its deadline.
const PROCESSES: usize = 4;
/// Most that is read of the words of a process that died.
const LAST_WORDS: u64 = 4_096;

/// Whether the arguments of a process (its own name first) say that it is to run one task, and nothing else.
#[must_use]
pub fn is_task(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter().skip(1);
    arguments.next().is_some_and(|argument| argument == ARGUMENT) && arguments.next().is_none()
}

/// What filters may cost.
#[derive(Clone, Copy, Debug)]
pub struct TransformLimits {
    /// Time from the start of the process to its verdict.
    pub deadline: Duration,
    /// Memory of the process in bytes.
    pub memory: usize,
    /// Largest output in bytes.
    pub output: usize,
}

impl TransformLimits {
    /// The limits the settings name.
    #[must_use]
    pub const fn from_settings(settings: &Settings) -> Self {
        Self {
            deadline: settings.transform_timeout.0,
            memory: settings.transform_memory.0,
            output: settings.transform_max_output.0,
        }
    }
}

/// Runs filters, one process for each task and at most one for each feed.
pub struct Transformer {
    program: PathBuf,
    limits: TransformLimits,
    slots: Semaphore,
    running: Mutex<HashSet<FeedName>>,
}

impl Transformer {
    /// Starts a binary for each task: its `main` must hand over to [`run_task`](super::run_task) when [`is_task`] says
    /// so.
    #[must_use]
    pub fn new(program: PathBuf, limits: TransformLimits) -> Self {
        Self { program, limits, slots: Semaphore::new(PROCESSES), running: Mutex::default() }
    }

    /// With the binary and the limits that the settings name.
    ///
    /// # Errors
    /// When they name no binary, and the system does not say which one runs.
    pub fn from_settings(settings: &Settings) -> io::Result<Self> {
        // The link leads to the binary that runs, even after another was installed in its place.
        let running = Path::new("/proc/self/exe");
        let program = match &settings.transform_program.0 {
            Some(program) => program.clone(),
            None if running.exists() => running.to_owned(),
            None => std::env::current_exe()?,
        };
        Ok(Self::new(program, TransformLimits::from_settings(settings)))
    }

    /// What a feed's filters make of an answer. Waits for its turn no longer than the deadline and ends soon after
    /// another, whatever the filters do; dropping it kills the process as well.
    ///
    /// # Errors
    /// With the faults of filters, and [`FetchFault::Garbage`] and [`FetchFault::SourceError`] as they find them.
    pub async fn run(&self, feed: &FeedName, filters: &Filters, answer: &[u8]) -> Result<Transformed, FetchFailure> {
        let failure = |kind, said: String| FetchFailure::new(kind, said);
        let _running = Running::begin(&self.running, feed).ok_or_else(|| {
            failure(FetchFault::TransformBusy, "the feed's filters of an earlier fetch have not ended".to_owned())
        })?;
        let deadline = self.limits.deadline;
        let Ok(_slot) = tokio::time::timeout(deadline, self.slots.acquire()).await else {
            let said = format!("the filters of {PROCESSES} other feeds ran all the time of {deadline:?}");
            return Err(failure(FetchFault::TransformBusy, said));
        };
        let mut child = self.start().map_err(|e| {
            failure(FetchFault::TransformCrashed, format!("the process for filters could not be started: {e}"))
        })?;
        let ended = tokio::time::timeout(deadline, self.converse(&mut child, filters, answer)).await;
        let Ok(ended) = ended else {
            // Waits for its end too: it is killed, and so there soon.
            let _ = child.kill().await;
            let said = format!("the filters took longer than {deadline:?} and were killed");
            return Err(failure(FetchFault::TransformDeadline, said));
        };
        match ended {
            Ok(Ended { verdict: Some(verdict), .. }) => verdict.outcome().map_err(|(kind, said)| failure(kind, said)),
            Ok(ended) => Err(failure(FetchFault::TransformCrashed, ended.epitaph(&self.limits))),
            Err(error) => Err(failure(FetchFault::TransformCrashed, error.to_string())),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        // Without the variables: filters can read those with `env`, and secrets are among them.
        command.arg(ARGUMENT).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()
    }

    /// Tells it everything, hears everything and waits for its end.
    async fn converse(&self, child: &mut Child, filters: &Filters, answer: &[u8]) -> io::Result<Ended> {
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the process has no pipes"));
        };
        let task = Task {
            filters: filters.clone(),
            output: self.limits.output,
            memory: self.limits.memory as u64,
            seconds: self.limits.deadline.as_secs() + 1,
        };
        let mut told = serde_json::to_vec(&task)?;
        told.push(b'\n');
        let tell = async move {
            // One that died has heard enough; why it died is told by its end.
            if input.write_all(&told).await.is_ok() && input.write_all(answer).await.is_ok() {
                let _ = input.shutdown().await;
            }
        };
        // A verdict is an output as JSON text, in which a byte takes six at most, and a version of the same bound.
        let most = (self.limits.output as u64).saturating_mul(12).saturating_add(LAST_WORDS);
        let (mut verdict, mut last_words) = (Vec::new(), Vec::new());
        let (mut output, mut errors) = (output.take(most), errors.take(LAST_WORDS));
        let ((), heard, last) =
            tokio::join!(tell, output.read_to_end(&mut verdict), errors.read_to_end(&mut last_words));
        heard?;
        last?;
        let status = child.wait().await?;
        let verdict = if status.success() { serde_json::from_slice(&verdict).ok() } else { None };
        Ok(Ended { status, verdict, last_words: String::from_utf8_lossy(&last_words).into_owned() })
    }
}

/// How a process ended.
struct Ended {
    status: ExitStatus,
    verdict: Option<Verdict>,
    last_words: String,
}

impl Ended {
    /// Why there is no verdict.
    fn epitaph(&self, limits: &TransformLimits) -> String {
        let reason = self.last_words.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        format!(
            "the filters used too much memory (limit {} bytes) or stack, and their process died ({}) {reason}",
            limits.memory, self.status
        )
    }
}

/// A feed whose filters run.
struct Running<'a> {
    feeds: &'a Mutex<HashSet<FeedName>>,
    feed: FeedName,
}

impl<'a> Running<'a> {
    /// `None` when they run already.
    fn begin(feeds: &'a Mutex<HashSet<FeedName>>, feed: &FeedName) -> Option<Self> {
        lock(feeds).insert(feed.clone()).then(|| Self { feeds, feed: feed.clone() })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(self.feeds).remove(&self.feed);
    }
}

fn lock(feeds: &Mutex<HashSet<FeedName>>) -> MutexGuard<'_, HashSet<FeedName>> {
    feeds.lock().unwrap_or_else(PoisonError::into_inner)
}
