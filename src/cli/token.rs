//! `scorewire token`: print a signed token.

use std::time::SystemTime;

use clap::Args;
use scorewire_core::data_dir;
use scorewire_core::settings::Settings;
use scorewire_core::settings::units::Span;

use super::LocalArgs;
use crate::http::auth::{Grant, Scope, Tokens};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The token's subject: a user's id for that user, or a service's name
    #[arg(long)]
    user: String,
    /// What it permits: scores:write (the user's own score), scores:write:any, users:write, admin, and
    /// stream:<topic or pattern like match:*> where streams need a token
    #[arg(long, num_args = 1.., value_delimiter = ',', default_value = "scores:write")]
    scope: Vec<Grant>,
    /// How long it is valid
    #[arg(long, default_value = "1h")]
    ttl: Span,
    #[command(flatten)]
    local: LocalArgs,
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let settings = args.local.settings()?;
    let (tokens, _) = crate::server::tokens(&settings)?;
    println!("{}", tokens.issue(&args.user, &args.scope, SystemTime::now() + args.ttl.0)?);
    Ok(())
}

/// A token for tools that talk to the server of this data directory; `None` when its secret is not known here.
pub(super) fn of_local_server(settings: &Settings) -> anyhow::Result<Option<String>> {
    let secret = match &settings.jwt_secret.0 {
        Some(secret) => Some(secret.0.clone()),
        None => data_dir::stored_secret(&settings.data_dir)?,
    };
    let Some(secret) = secret else { return Ok(None) };
    let expires = SystemTime::now() + std::time::Duration::from_secs(24 * 3_600);
    Ok(Some(Tokens::new(&secret, settings)?.issue("scorewire-cli", &[Scope::Admin], expires)?))
}
