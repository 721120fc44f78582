//! `scorewire healthcheck`: asks a server's probe, for containers that hold no other HTTP client.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

/// The whole question; supervisors give up after a few seconds themselves.
const PATIENCE: Duration = Duration::from_secs(4);

/// Ends with 0 when the server answers its probe with 200.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// The probe; /readyz also asks for the ledger
    #[arg(long, default_value = "http://127.0.0.1:3000/healthz")]
    url: String,
}

pub(super) async fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let mut client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    if args.url.starts_with("http:") {
        // Containers need not hold certificates for this.
        client = client.tls_certs_only([]);
    }
    let client = client.build()?;
    let answer = client.get(&args.url).send().await.with_context(|| format!("{} does not answer", args.url))?;
    ensure!(answer.status().is_success(), "{} answers {}", args.url, answer.status());
    Ok(())
}
