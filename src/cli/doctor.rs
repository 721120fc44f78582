//! `scorewire doctor`: names what can lose accepted updates in the settings of servers, files and this process.

use std::process::ExitCode;

use clap::Args;
use scorewire_core::doctor::{self, Finding, Level, worst};
use serde_json::json;

use super::LocalArgs;

/// Something could not be asked, or the settings could not be read.
const UNKNOWN: u8 = 2;

/// What to look at, and how to say it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    local: LocalArgs,
}

pub(super) async fn run(args: &DoctorArgs) -> ExitCode {
    let settings = match args.local.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("scorewire: {error}");
            return UNKNOWN.into();
        }
    };
    let findings = doctor::examine(&settings).await;
    print(&findings, args.json);
    match worst(&findings) {
        Level::Ok | Level::Risk => ExitCode::SUCCESS,
        Level::Danger => ExitCode::FAILURE,
        Level::Unknown => UNKNOWN.into(),
    }
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
fn print(findings: &[Finding], as_json: bool) {
    if as_json {
        println!("{:#}", json!({ "worst": worst(findings), "findings": findings }));
        return;
    }
    for finding in findings {
        println!("{finding}");
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    println!(
        "\n{} checks: {} ok, {} risk, {} danger, {} unknown",
        findings.len(),
        count(Level::Ok),
        count(Level::Risk),
        count(Level::Danger),
        count(Level::Unknown)
    );
}
