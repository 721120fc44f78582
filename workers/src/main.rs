//! `scorewire-worker`: workers and nothing else, for machines that need not be reached.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use scorewire_core::doctor;
use scorewire_core::settings::units::Role;
use scorewire_core::settings::{Feed, Overrides, Settings, SettingsFile};
use scorewire_core::transform;
use scorewire_core::wiring::Wiring;
use scorewire_workers::{Workers, log};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Scorewire's workers: take queued updates, apply them to the ledger, publish the result.
#[derive(Debug, Parser)]
#[command(name = "scorewire-worker", version, about, max_term_width = 100)]
struct Arguments {
    /// Settings file [default: scorewire.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "SCOREWIRE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Settings (flag, environment variable, or key in the settings file)")]
    overrides: Overrides,
}

fn main() -> ExitCode {
    // Before anything is read: the process that runs the filters of feeds has no business with settings or secrets.
    if transform::is_task(std::env::args_os()) {
        return transform::run_task().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // A missing `.env` is the usual case; a broken one is worth a word.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("scorewire-worker: .env can not be used: {error}");
        return ExitCode::FAILURE;
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorewire-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = SettingsFile::named_or_default(arguments.config.as_deref())?;
    let mut settings = Settings::resolve(arguments.overrides, &file)?;
    settings.role = Role::Worker;
    let feeds = Feed::all(&settings, &file, &|name| std::env::var(name).ok())?;
    log::start(&settings)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start tokio")?
        .block_on(work(settings, feeds))
}

async fn work(settings: Settings, feeds: Vec<Feed>) -> anyhow::Result<()> {
    // Feeds ask their sources over TLS.
    scorewire_core::tls::install_provider();
    // Taken before anything is opened: a signal during start ends the start.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopping);
    let wiring = tokio::select! {
        wiring = Wiring::open(&settings, feeds) => wiring?,
        () = &mut stopping => return Ok(()),
    };
    let shutdown = CancellationToken::new();
    let workers = Workers::start(&wiring, &settings, &shutdown)?;
    tracing::info!("working");
    // Beside the work: what it finds is worth a warning, and no reason to wait.
    tokio::spawn(async move { doctor::warn(&settings).await });
    stopping.await;
    tracing::info!("stopping");
    shutdown.cancel();
    workers.stopped().await;
    wiring.close().await;
    tracing::info!("stopped");
    Ok(())
}
