//! `scorewire-bench`: measures a real server over loopback, each figure beside a floor run in the same minutes.
//!
//! - [`process`]: starts the servers measured, and reads what they use
//! - [`wire`], [`viewer`]: a load generator cheap enough not to be what is measured
//! - [`servers`], [`fleet`]: a Redis, a PostgreSQL and the processes that share them
//! - [`load`]: posts updates and checks what became of them
//! - [`writes`], [`latency`], [`reads`], [`memory`], [`viewer_memory`], [`feed_beats`], [`fleet_writes`]: the measurements
//! - [`floor_sqlite`], [`floor_server`], [`floor_pipeline`]: what they are compared with
//! - [`figures`], [`report`]: medians, tables and docs/BENCHMARKS.md

mod feed_beats;
mod figures;
mod fleet;
mod fleet_writes;
mod floor_pipeline;
mod floor_server;
mod floor_sqlite;
mod latency;
mod load;
mod memory;
mod process;
mod reads;
mod report;
mod servers;
mod viewer;
mod viewer_memory;
mod wire;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::figures::Section;

/// Measures Scorewire beside its floors.
#[derive(Debug, Parser)]
#[command(name = "scorewire-bench", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything, as a Markdown report
    All {
        #[command(flatten)]
        plan: Plan,
        /// Write the report to this file, too
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Updates per second from accepted over applied to seen, beside bare SQLite
    Writes(Plan),
    /// Time from sending an update to a viewer reading it, beside bare SQLite
    Latency(Plan),
    /// GET /scores per second, beside bare hyper
    Reads(Plan),
    /// Memory of an idle server
    Memory(Plan),
    /// Memory of a connected viewer, over SSE and WebSocket
    Viewers(Plan),
    /// How exactly a feed's viewers are sent its latest message on its beat, beside bare timers
    Feeds(Plan),
    /// Updates per second and latency of processes that share Redis and PostgreSQL, beside the pipeline without HTTP
    Fleet(Plan),
    /// A bare hyper server: the floor of `reads`
    #[command(hide = true)]
    FloorServer(floor_server::FloorArgs),
}

/// How much is measured.
#[derive(Clone, Debug, Args)]
struct Plan {
    /// The server binary
    #[arg(long, value_name = "FILE", default_value = "target/release/scorewire")]
    server: PathBuf,
    /// Where temporary data goes; measure the disk you mean [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Interleaved rounds of `writes` and `reads`
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Updates in a round of `writes`
    #[arg(long, default_value_t = 60_000)]
    updates: usize,
    /// Updates of `writes` carry an Idempotency-Key each
    #[arg(long)]
    keyed: bool,
    /// Keep-alive connections of `writes` and `reads`
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Rounds of `latency`
    #[arg(long, default_value_t = 3)]
    latency_rounds: usize,
    /// Seconds of a round of `latency`
    #[arg(long, default_value_t = 20)]
    latency_seconds: usize,
    /// Seconds of each half of a round of `reads`
    #[arg(long, default_value_t = 5)]
    read_seconds: u64,
    /// The worker binary of `fleet`
    #[arg(long, value_name = "FILE", default_value = "target/release/scorewire-worker")]
    worker: PathBuf,
    /// API processes of `fleet`
    #[arg(long, default_value_t = 1)]
    apis: usize,
    /// Worker processes of `fleet`
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Keep-alive connections of `fleet`
    #[arg(long, default_value_t = 256)]
    fleet_connections: usize,
    /// Updates in a round of `fleet`
    #[arg(long, default_value_t = 60_000)]
    fleet_updates: usize,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorewire-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
fn run(command: Command) -> anyhow::Result<()> {
    if let Command::FloorServer(args) = command {
        return floor_server::run(&args);
    }
    // One thread: a generator that migrates between cores would take more of them from the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measuring = async {
        let sections: Vec<Section> = match &command {
            Command::All { plan, .. } => {
                let mut sections = vec![memory::measure(plan).await?, viewer_memory::measure(plan).await?];
                sections.extend(writes::measure(plan).await?);
                sections.push(latency::measure(plan).await?);
                sections.push(reads::measure(plan).await?);
                sections.push(feed_beats::measure(plan).await?);
                sections.extend(fleet_writes::measure(plan).await?);
                sections
            }
            Command::Writes(plan) => writes::measure(plan).await?,
            Command::Latency(plan) => vec![latency::measure(plan).await?],
            Command::Reads(plan) => vec![reads::measure(plan).await?],
            Command::Memory(plan) => vec![memory::measure(plan).await?],
            Command::Viewers(plan) => vec![viewer_memory::measure(plan).await?],
            Command::Feeds(plan) => vec![feed_beats::measure(plan).await?],
            Command::Fleet(plan) => fleet_writes::measure(plan).await?,
            Command::FloorServer(_) => unreachable!("handled above"),
        };
        if let Command::All { plan, report } = &command {
            let text = report::whole(plan, &sections)?;
            if let Some(file) = report {
                std::fs::write(file, &text)?;
            }
            println!("{text}");
        } else {
            println!("{}", report::tables(&sections));
        }
        Ok(())
    };
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // Whatever was started is killed when what is measured is dropped.
        tokio::select! {
            measured = measuring => measured,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into).and_then(|()| bail!("interrupted")),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}
