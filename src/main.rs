//! The `scorewire` binary.

use std::process::ExitCode;

use clap::Parser;
use scorewire::cli::{self, Cli};

fn main() -> ExitCode {
    // A missing `.env` is the usual case; a broken one is worth a word.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("scorewire: .env can not be used: {error}");
        return ExitCode::FAILURE;
    }
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorewire: {error:#}");
            ExitCode::FAILURE
        }
    }
}
