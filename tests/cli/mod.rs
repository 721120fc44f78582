//! The command line, as a person or a script uses it.

mod jobs;
mod token;
mod watch;

use std::path::Path;

use tokio::process::Command;

use crate::support::within;

/// What a command said.
#[derive(Debug)]
struct Said {
    success: bool,
    out: String,
    err: String,
}

/// Runs a command on a data directory.
async fn scorewire(data_dir: &Path, arguments: &[&str]) -> Said {
    scorewire_with(&[], data_dir, arguments).await
}

/// The same with environment variables.
async fn scorewire_with(variables: &[(&str, String)], data_dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.args(arguments).arg("--data-dir").arg(data_dir).kill_on_drop(true);
    let output = within("the command", command.output()).await.expect("the binary runs");
    Said {
        success: output.status.success(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}
