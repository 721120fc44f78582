//! The `scorewire` binary.

use std::process::ExitCode;

use clap::Parser;
use scorewire::cli::{self, Cli};
use scorewire_core::transform;

fn main() -> ExitCode {
    // Before anything is read: the process that runs the filters of feeds has no business with settings or secrets.
    if transform::is_task(std::env::args_os()) {
        return transform::run_task().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // A missing `.env` is the usual case; a broken one is worth a word.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("scorewire: .env can not be used: {error}");
        return ExitCode::FAILURE;
    }
    match cli::run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("scorewire: {}", said(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, leaving out those that it quotes already.
fn said(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
}
