//! `scorewire serve`: run the server until a signal ends it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use scorewire_core::doctor;
use scorewire_core::settings::units::Role;
use scorewire_core::settings::{Feed, Overrides, Settings, SettingsFile};
use scorewire_workers::log;
use tokio::signal::unix::{SignalKind, signal};

use super::sample;
use crate::http::auth::Scope;
use crate::server::{self, Server, local_url};

/// How long the printed development token is valid.
const DEVELOPMENT_TOKEN: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Settings file [default: scorewire.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "SCOREWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Give an empty ledger ten named users with scores
    #[arg(long)]
    sample: bool,
    #[command(flatten, next_help_heading = "Settings (flag, environment variable, or key in the settings file)")]
    overrides: Overrides,
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let file = SettingsFile::named_or_default(args.config.as_deref())?;
    let settings = Settings::resolve(args.overrides, &file)?;
    let feeds = Feed::all(&settings, &file, &|name| std::env::var(name).ok())?;
    log::start(&settings)?;
    // Taken before anything is opened: a signal during start ends the start.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let server = tokio::select! {
        server = Server::start(settings.clone(), feeds) => server?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    if args.sample {
        sample::fill(&server).await?;
    }
    introduce(&server, &settings)?;
    // Beside the server: what it finds is worth a warning, and no reason to wait.
    tokio::spawn(async move { doctor::warn(&settings).await });
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Tells a person at the terminal what runs where, and what to try.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
fn introduce(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let url = local_url(server.address);
    println!("scorewire {} listens on {url}", env!("CARGO_PKG_VERSION"));
    if let Some(address) = server.tls_address {
        println!("  tls     {}", local_url(address).replacen("http:", "https:", 1));
    }
    if settings.role == Role::Worker {
        println!("  works on what others accept; answers {url}/healthz, {url}/readyz and {url}/metrics");
        return Ok(());
    }
    let data = std::path::absolute(&settings.data_dir)?;
    if server.wiring.is_distributed() {
        println!("  shares  PostgreSQL and Redis with every process of the same DATABASE_URL and REDIS_URL");
    } else {
        println!("  data    {} (embedded: SQLite, nothing else needed)", data.display());
    }
    let token = if settings.jwt_secret.0.is_some() {
        "$(scorewire token --user dev --scope scores:write:any)".to_owned()
    } else {
        let made = if server.new_secret { "made just now" } else { "made earlier" };
        println!("  secret  {}, {made}; set JWT_SECRET to use your own", data.join("jwt-secret").display());
        let scopes = [Scope::AnyScores, Scope::Users, Scope::Admin];
        server::tokens(settings)?.0.issue("dev", &scopes, SystemTime::now() + DEVELOPMENT_TOKEN)?
    };
    println!("\nOpen {url}/ in a browser, or try:\n");
    println!("  curl {url}/scores");
    println!("  curl -N {url}/scores/stream");
    if let Some(feed) = server.wiring.feeds.first() {
        println!("  curl -N {url}/feeds/{}/stream        # every feed: {url}/feeds", feed.name);
    }
    println!(
        "  curl -X POST {url}/scores/update -H \"Authorization: Bearer {token}\" -H \"Content-Type: application/json\" -d '{{\"userId\":1,\"increment\":10}}'\n"
    );
    Ok(())
}
