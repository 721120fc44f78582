//! `scorewire migrate`: bring the database's schema up to date.

use scorewire_core::ledger::PostgresLedger;
use scorewire_core::settings::units::Secret;

use super::LocalArgs;

#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) async fn run(local: LocalArgs) -> anyhow::Result<()> {
    let settings = local.settings()?;
    match &settings.database_url.0 {
        Some(Secret(url)) => {
            PostgresLedger::migrate(url).await?;
            println!("the database's schema is that of scorewire {}", env!("CARGO_PKG_VERSION"));
        }
        None => println!("nothing to do: DATABASE_URL is not set, and the embedded deployment migrates its own files"),
    }
    Ok(())
}
