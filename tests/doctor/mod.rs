//! `scorewire doctor` before real servers and files, safe and unsafe ones; `scorewire healthcheck` before a server.

mod embedded;
mod servers;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::support::within;

/// What a command answered.
struct Said {
    status: i32,
    text: String,
}

impl Said {
    /// The level of a check's line.
    #[track_caller]
    fn level(&self, check: &str) -> &str {
        let line = self.text.lines().find(|line| line.contains(&format!(" {check}: ")));
        let line = line.unwrap_or_else(|| panic!("no line about {check} in:\n{}", self.text));
        line.split_whitespace().next().expect("a level")
    }

    /// Its exit status, and the levels of some checks.
    #[track_caller]
    fn is(&self, status: i32, levels: &[(&str, &str)]) {
        for (check, level) in levels {
            assert_eq!(self.level(check), *level, "{check} in:\n{}", self.text);
        }
        assert_eq!(self.status, status, "{}", self.text);
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Runs a command of the binary in a directory, with these variables and no others.
async fn scorewire(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.args(arguments).current_dir(dir).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    let Output { status, stdout, stderr } = within("the command", command.output()).await.expect("it runs");
    let text = String::from_utf8(stdout).expect("text") + &String::from_utf8(stderr).expect("text");
    Said { status: status.code().expect("an exit status"), text }
}
