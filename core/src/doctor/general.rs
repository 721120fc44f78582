//! The process's own settings: secrets, addresses, and whether they make a deployment.

use super::{Finding, is_this_machine};
use crate::settings::units::Secret;
use crate::settings::{OriginPattern, Settings};

/// Bytes of the shortest secret HS256 may use (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;
/// Words that stand for a secret in examples and copied configurations.
const PLACEHOLDERS: [&str; 8] =
    ["changeme", "change-me", "change_me", "example", "secret", "password", "placeholder", "0123456789"];
/// The shortest run of one letter that is taken for a placeholder.
const REPEATED: usize = 16;

/// Judges the settings themselves; asks nobody.
pub(super) fn judge(settings: &Settings) -> Vec<Finding> {
    let distributed = settings.redis_url.0.is_some() || settings.database_url.0.is_some();
    let mut findings = vec![deployment(settings), secret(settings.jwt_secret.0.as_ref(), distributed)];
    findings.extend(password("redis password", settings.redis_url.0.as_ref()));
    findings.extend(password("postgres password", settings.database_url.0.as_ref()));
    findings.push(origins(settings));
    findings
}

fn deployment(settings: &Settings) -> Finding {
    let check = "deployment";
    match (&settings.database_url.0, &settings.redis_url.0) {
        (Some(_), Some(_)) => {
            Finding::ok(check, "distributed", "DATABASE_URL names the ledger, REDIS_URL the queue and the boards.")
        }
        (None, None) => Finding::ok(check, "embedded", "Neither DATABASE_URL nor REDIS_URL is set: SQLite files."),
        (database, _) => {
            let (set, missing) =
                if database.is_some() { ("DATABASE_URL", "REDIS_URL") } else { ("REDIS_URL", "DATABASE_URL") };
            Finding::risk(
                check,
                format!("{set} without {missing}"),
                "A server does not start with one of them.",
                format!("set {missing}, too, or neither for the embedded deployment"),
            )
        }
    }
}

fn secret(secret: Option<&Secret>, distributed: bool) -> Finding {
    let check = "jwt_secret";
    let make_one = "JWT_SECRET from `openssl rand -hex 32`, the same for every process";
    match secret {
        None if distributed => Finding::risk(
            check,
            "not set",
            "Every process would sign with a secret of its own and refuse the others' tokens.",
            make_one,
        ),
        None => Finding::ok(check, "not set", "One is made in the data directory (256 random bits, mode 0600)."),
        Some(Secret(secret)) if secret.len() < SHORTEST_SECRET => Finding::risk(
            check,
            format!("{} bytes", secret.len()),
            "A server refuses less than 32 bytes, which could be guessed.",
            make_one,
        ),
        Some(Secret(secret)) if is_placeholder(secret) => Finding::danger(
            check,
            "a placeholder, as examples have it",
            "Whoever knows it signs tokens that may change every score.",
            make_one,
        ),
        Some(Secret(secret)) => {
            Finding::ok(check, format!("{} bytes", secret.len()), "Tokens can not be forged without it.")
        }
    }
}

/// A password that is a word of the trade, towards a server that others may reach.
fn password(check: &'static str, url: Option<&Secret>) -> Option<Finding> {
    const WORDS: [&str; 8] =
        ["postgres", "redis", "scorewire", "password", "secret", "changeme", "change-me", "example"];
    let rest = url?.0.split_once("://")?.1;
    let (login, address) = rest.split_once('/').map_or(rest, |(authority, _)| authority).rsplit_once('@')?;
    let (_, password) = login.split_once(':')?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if !WORDS.contains(&password.to_ascii_lowercase().as_str()) {
        return None;
    }
    let (found, advice) = ("a placeholder, as examples have it", "a password from `openssl rand -hex 24`");
    Some(if is_this_machine(host) {
        Finding::risk(check, found, "Every program of this machine can guess it.", advice)
    } else {
        Finding::danger(check, found, "Whoever reaches the server can change or delete everything on it.", advice)
    })
}

fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let repeats = lower.as_bytes().windows(REPEATED).any(|run| run.iter().all(|b| *b == run[0]));
    repeats || PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

fn origins(settings: &Settings) -> Finding {
    let check = "cors_origins";
    let any = settings.cors_origins.0.contains(&OriginPattern::Any);
    let origins = match settings.cors_origins.0.as_slice() {
        [] => "none".to_owned(),
        origins => origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let found = format!("{origins}, listening on {}", settings.listen);
    if any && !settings.listen.ip().is_loopback() {
        return Finding::risk(
            check,
            found,
            "Pages of every site may call this server from their visitors' browsers.",
            "SCOREWIRE_CORS_ORIGINS to the origins of your own pages",
        );
    }
    Finding::ok(check, found, "Which pages may call the API from a browser.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Level, worst};
    use crate::settings::{Overrides, SettingsFile};

    const GOOD: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn found(change: impl FnOnce(&mut Settings)) -> Vec<Finding> {
        let mut settings = Settings::resolve(Overrides::default(), &SettingsFile::default()).expect("defaults");
        change(&mut settings);
        judge(&settings)
    }

    fn level(findings: &[Finding], check: &str) -> Level {
        findings.iter().find(|finding| finding.check == check).expect("a finding").level
    }

    fn url(text: &str) -> crate::settings::units::Maybe<Secret> {
        crate::settings::units::Maybe(Some(Secret(text.to_owned())))
    }

    #[test]
    fn the_defaults_are_safe() {
        assert_eq!(worst(&found(|_| {})), Level::Ok);
    }

    #[test]
    fn half_a_deployment_and_a_secret_of_each_process_are_risks() {
        let findings = found(|settings| settings.redis_url = url("redis://localhost"));
        assert_eq!(level(&findings, "deployment"), Level::Risk);
        assert_eq!(level(&findings, "jwt_secret"), Level::Risk);
        let whole = found(|settings| {
            settings.redis_url = url("redis://localhost");
            settings.database_url = url("postgres://localhost/scorewire");
            settings.jwt_secret = url(GOOD);
        });
        assert_eq!(worst(&whole), Level::Ok);
    }

    #[test]
    fn secrets_are_long_and_not_from_an_example() {
        for (secret, expected) in [
            (GOOD, Level::Ok),
            ("short", Level::Risk),
            ("please-change-me-in-production-please", Level::Danger),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Level::Danger),
        ] {
            let findings = found(|settings| settings.jwt_secret = url(secret));
            assert_eq!(level(&findings, "jwt_secret"), expected, "{secret}");
            assert!(!format!("{findings:?}").contains(secret), "a secret is never shown");
        }
    }

    #[test]
    fn a_guessable_password_is_worse_the_more_can_reach_the_server() {
        let of = |text: &str| password("postgres password", Some(&Secret(text.to_owned()))).map(|f| f.level);
        assert_eq!(of("postgres://scorewire:postgres@db:5432/scorewire"), Some(Level::Danger));
        assert_eq!(of("postgres://scorewire:postgres@localhost/scorewire"), Some(Level::Risk));
        assert_eq!(of("redis://:redis@[::1]:6379"), Some(Level::Risk));
        assert_eq!(of("postgres://scorewire:6b3a90d1@db/scorewire"), None);
        assert_eq!(of("redis://localhost:6379/0"), None);
    }

    #[test]
    fn any_origin_is_a_risk_on_a_public_address() {
        let listening = |address: &str| found(|settings| settings.listen = address.parse().expect("an address"));
        assert_eq!(level(&listening("0.0.0.0:3000"), "cors_origins"), Level::Risk);
        assert_eq!(level(&listening("127.0.0.1:3000"), "cors_origins"), Level::Ok);
    }
}
