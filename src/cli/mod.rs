//! The command line.

mod deployment;
mod doctor;
mod feeds;
mod healthcheck;
mod jobs;
mod migrate;
mod rebuild;
mod replay;
mod sample;
mod serve;
mod token;
mod upstreams;
mod users;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use scorewire_core::settings::units::Secret;
use scorewire_core::settings::{Overrides, Settings, SettingsFile};

/// A durable real-time scoreboard server.
#[derive(Debug, Parser)]
#[command(name = "scorewire", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::ServeArgs>),
    /// Bring the schema of the database up to date; safe to run from many places at once
    Migrate(LocalArgs),
    /// Rebuild the rankings from the ledger
    Rebuild(rebuild::RebuildArgs),
    /// Print a signed token
    Token(token::TokenArgs),
    /// Add and list users
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Look at queued jobs, and decide about those that were given up on
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Post the fantasy points of a recorded match to a server
    Replay(ReplayCommand),
    /// Follow topics of a running server: one line for each message, until Ctrl-C
    Watch(watch::WatchArgs),
    /// Name settings of servers, files and this process that can lose accepted updates
    ///
    /// Reads the same settings as `serve` and changes nothing. Exit status: 0 when nothing found can lose or falsify
    /// accepted updates, 1 when something can, 2 when something could not be asked.
    Doctor(doctor::DoctorArgs),
    /// Try the configured feeds
    #[command(subcommand)]
    Feeds(feeds::FeedsCommand),
    /// Imitate reqres.in and CoinDesk's data API on this machine, with faults that can be switched
    Upstreams(upstreams::UpstreamsArgs),
    /// Ask a running server whether it is well, and say so by the exit status
    Healthcheck(healthcheck::HealthcheckArgs),
}

#[derive(Debug, Args)]
struct ReplayCommand {
    #[command(flatten)]
    replay: replay::ReplayArgs,
    #[command(flatten)]
    local: LocalArgs,
}

/// What commands beside `serve` need to know of the settings; environment variables count, too.
#[derive(Clone, Debug, Default, Args)]
struct LocalArgs {
    /// Settings file [default: scorewire.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "SCOREWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// The server's data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's signing secret
    #[arg(long, value_name = "SECRET")]
    jwt_secret: Option<String>,
}

impl LocalArgs {
    fn settings(&self) -> anyhow::Result<Settings> {
        /// Reads the environment as `serve` would.
        #[derive(Parser)]
        struct Environment {
            #[command(flatten)]
            overrides: Overrides,
        }
        let mut overrides = Environment::try_parse_from(["scorewire"])?.overrides;
        if let Some(dir) = &self.data_dir {
            overrides.data_dir = Some(dir.clone());
        }
        if let Some(secret) = &self.jwt_secret {
            overrides.jwt_secret = Some(scorewire_core::settings::units::Maybe(Some(Secret(secret.clone()))));
        }
        Ok(Settings::resolve(overrides, &SettingsFile::named_or_default(self.config.as_deref())?)?)
    }
}

/// Runs the command line; the exit status is the command's answer.
///
/// # Errors
/// In words for the person at the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    scorewire_core::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start tokio")?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Migrate(local) => migrate::run(local).await,
            Command::Rebuild(args) => return rebuild::run(args).await,
            Command::Token(args) => token::run(&args),
            Command::Users(command) => users::run(command).await,
            Command::Jobs(command) => jobs::run(command).await,
            Command::Replay(ReplayCommand { mut replay, local }) => {
                let points = match SettingsFile::named_or_default(local.config.as_deref())?.table("points") {
                    Some(table) => table.clone().try_into().context("[points] in the settings file")?,
                    None => replay::PointsTable::default(),
                };
                if replay.token.is_none() {
                    replay.token = token::of_local_server(&local.settings()?)?;
                }
                replay::run(replay, points).await
            }
            Command::Watch(args) => watch::run(&args).await,
            Command::Doctor(args) => return Ok(doctor::run(&args).await),
            Command::Feeds(command) => return feeds::run(command).await,
            Command::Upstreams(args) => upstreams::run(args).await,
            Command::Healthcheck(args) => healthcheck::run(&args).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}
