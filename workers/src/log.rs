//! How log lines look, for every program of ours.

use std::io::IsTerminal;

use scorewire_core::settings::Settings;
use scorewire_core::settings::units::LogFormat;
use tracing_subscriber::EnvFilter;

/// Its debug lines show the whole target of a request it can not read, with any token in it.
const SILENT: &str = "h2::server=info";

/// The setting `log` can not be used.
#[derive(Debug)]
pub struct BadFilter(String);

impl std::fmt::Display for BadFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the setting `log` can not be used: {}; write a level like info, or info,scorewire=debug", self.0)
    }
}

impl std::error::Error for BadFilter {}

/// Begins to write log lines to standard error, as the settings want them. Once per process.
///
/// # Errors
/// When the filter can not be read.
pub fn start(settings: &Settings) -> Result<(), BadFilter> {
    let bad = |error: &dyn std::fmt::Display| BadFilter(error.to_string());
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| bad(&error))?;
    let filter = filter.add_directive(SILENT.parse().map_err(|error| bad(&error))?);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
