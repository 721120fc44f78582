//! Looks for settings of the servers, the files and the process that can lose what was accepted.
//!
//! Asking and judging are apart: each room asks its server for facts, and a pure function turns facts into findings.
//!
//! - `finding`: what was found, how bad it is, and what to set instead
//! - `general`: the process's own settings
//! - `redis`, `postgres`: the servers of the distributed deployment
//! - `files`: the data directory of the embedded one

mod files;
mod finding;
mod general;
mod postgres;
mod redis;

pub use finding::{Finding, Level, worst};

use std::net::IpAddr;
use std::time::Duration;

use crate::settings::Settings;

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Examines everything the settings name, for a person or a script that asks. Changes nothing.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = around_the_files(settings).await;
    if is_embedded(settings) {
        findings.extend(files::databases(&settings.data_dir).await);
    }
    findings
}

/// The same for a server that just started, which has its own files open and just set what they need; logs every
/// finding that is not harmless.
pub async fn warn(settings: &Settings) {
    for finding in around_the_files(settings).await.iter().filter(|finding| finding.level > Level::Ok) {
        let advice = finding.advice.as_deref().unwrap_or_default();
        tracing::warn!(
            check = finding.check,
            level = %finding.level,
            found = finding.found,
            advice,
            "{}",
            finding.why
        );
    }
}

async fn around_the_files(settings: &Settings) -> Vec<Finding> {
    let mut findings = general::judge(settings);
    if let Some(url) = &settings.redis_url.0 {
        findings.extend(redis::examine(&url.0, &settings.redis_prefix).await);
    }
    if let Some(url) = &settings.database_url.0 {
        findings.extend(postgres::examine(&url.0, settings.database_connections).await);
    }
    if is_embedded(settings) {
        findings.extend(files::directory(&settings.data_dir));
    }
    findings
}

fn is_embedded(settings: &Settings) -> bool {
    settings.redis_url.0.is_none() && settings.database_url.0.is_none()
}

/// Whether a host's name or address can only mean this machine.
fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.starts_with('/') || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "/run/postgresql"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["redis", "10.0.0.1", "0.0.0.0", "db.example.com", "localhost.example.com"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
