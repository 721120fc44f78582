//! What PostgreSQL's settings mean for a ledger that must not lose anything.

use super::Facts;
use crate::doctor::Finding;
use crate::ledger::postgres::SchemaError;

/// The oldest version that is still maintained by somebody.
const OLDEST: u32 = 130_000;
/// Processes a small fleet has: two APIs, two workers, and one more while they are replaced.
const SMALL_FLEET: u32 = 5;

/// Facts to findings: nothing is asked here.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        version(facts),
        standby(facts),
        fsync(facts),
        full_page_writes(facts),
        synchronous_commit(facts),
        connections(facts),
        isolation(facts),
        schema(facts.schema.as_ref()),
        encryption(facts),
    ];
    findings.extend(standbys(facts));
    findings.extend(damaged_pages(facts));
    findings
}

impl Facts {
    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("not told", String::as_str)
    }

    fn number(&self, name: &str) -> u32 {
        self.setting(name).parse().unwrap_or(0)
    }

    fn waits_for_standbys(&self) -> bool {
        !self.setting("synchronous_standby_names").is_empty()
    }
}

fn version(facts: &Facts) -> Finding {
    let (check, found) = ("postgres version", format!("{} at {}", facts.setting("server_version"), facts.address));
    if facts.number("server_version_num") < OLDEST {
        return Finding::danger(
            check,
            found,
            "Scorewire is written for 13 and newer, and older ones get no repairs.",
            "run PostgreSQL 13 or newer",
        );
    }
    Finding::ok(check, found, "Scorewire is written for 13 and newer.")
}

fn standby(facts: &Facts) -> Finding {
    let check = "postgres role";
    if facts.standby {
        return Finding::danger(
            check,
            "standby",
            "A standby takes no writes: nothing is applied.",
            "DATABASE_URL to the primary (with several hosts: target_session_attrs=read-write)",
        );
    }
    if facts.setting("default_transaction_read_only") == "on" {
        return Finding::danger(
            check,
            "primary, but default_transaction_read_only is on",
            "Nothing can be applied.",
            "default_transaction_read_only = off for this role and database",
        );
    }
    Finding::ok(check, "primary", "Only a primary takes writes.")
}

fn fsync(facts: &Facts) -> Finding {
    match facts.setting("fsync") {
        "on" => Finding::ok("postgres fsync", "on", "What is committed is on the disk."),
        other => Finding::danger(
            "postgres fsync",
            other,
            "The end of the machine loses committed updates and may ruin the whole database.",
            "fsync = on",
        ),
    }
}

fn full_page_writes(facts: &Facts) -> Finding {
    match facts.setting("full_page_writes") {
        "on" => Finding::ok("postgres full_page_writes", "on", "Half-written pages are repaired after a crash."),
        other => Finding::danger(
            "postgres full_page_writes",
            other,
            "The end of the machine may leave half-written pages that nothing repairs.",
            "full_page_writes = on",
        ),
    }
}

fn synchronous_commit(facts: &Facts) -> Finding {
    let (check, set) = ("postgres synchronous_commit", facts.setting("synchronous_commit"));
    let advice = "synchronous_commit = on for the server, and none of ALTER ROLE or ALTER DATABASE … SET against it";
    match set {
        "on" | "remote_apply" => Finding::ok(check, set, "A job is done only when its effect is on the disk."),
        "local" | "remote_write" if !facts.waits_for_standbys() => Finding::risk(
            check,
            set,
            "The same as on while synchronous_standby_names is empty, and less once it is not.",
            advice,
        ),
        "local" | "remote_write" => Finding::danger(
            check,
            set,
            "A commit does not wait for the disk of the standby: its failover loses updates already marked as done.",
            advice,
        ),
        other => Finding::danger(
            check,
            other,
            "The end of the server loses updates that were already marked as done.",
            advice,
        ),
    }
}

fn connections(facts: &Facts) -> Finding {
    let check = "postgres max_connections";
    let usable = facts.number("max_connections").saturating_sub(facts.number("superuser_reserved_connections"));
    let processes = usable / facts.pool.max(1);
    let found = format!(
        "{}, {} in use; {} a process at most, enough for {processes} processes",
        facts.setting("max_connections"),
        facts.connections,
        facts.pool
    );
    let why = "A process that gets no connection waits, and so do its updates.";
    if processes < SMALL_FLEET {
        let advice = format!("max_connections = {} or more", SMALL_FLEET * facts.pool + 10);
        return Finding::risk(check, found, why, advice);
    }
    Finding::ok(check, found, why)
}

fn isolation(facts: &Facts) -> Finding {
    let why = "Without effect on Scorewire: its transactions say READ COMMITTED themselves.";
    Finding::ok("postgres default_transaction_isolation", facts.setting("default_transaction_isolation"), why)
}

fn schema(error: Option<&SchemaError>) -> Finding {
    let check = "postgres schema";
    match error {
        None => Finding::ok(check, "up to date", "A server starts only on the schema of its version."),
        Some(error @ SchemaError::Missing { .. }) => {
            Finding::risk(check, error.to_string(), "A server does not start on it.", "run `scorewire migrate`")
        }
        Some(error @ SchemaError::Database(_)) => Finding::unknown(
            check,
            error.to_string(),
            "A server starts only on the schema of its version.",
            "check the role's privileges",
        ),
        Some(error) => Finding::danger(
            check,
            error.to_string(),
            "The ledger may not be what this version takes it for.",
            "run the version that belongs to it, or restore a backup",
        ),
    }
}

fn encryption(facts: &Facts) -> Finding {
    let check = "postgres TLS";
    match (facts.remote, facts.encrypted) {
        (_, true) => Finding::ok(check, "on", "Password and scores travel encrypted."),
        (false, false) => Finding::ok(check, "off, on this machine", "Nothing leaves it."),
        (true, false) => Finding::risk(
            check,
            "off, over a network",
            "Who listens on the way reads and may change what is written.",
            "?sslmode=verify-full at the end of DATABASE_URL, unless the network is the fleet's own",
        ),
    }
}

/// Only servers with standbys fail over.
fn standbys(facts: &Facts) -> Option<Finding> {
    let check = "postgres standbys";
    let found = |how: &str| format!("{}, {how}", facts.standbys);
    (facts.standbys > 0).then(|| {
        if facts.waits_for_standbys() {
            return Finding::ok(check, found("synchronous"), "A failover keeps what was committed.");
        }
        Finding::risk(
            check,
            found("asynchronous"),
            "A failover loses what the new primary had not received yet.",
            "synchronous_standby_names = 'ANY 1 (*)', or know that a failover loses the last moments",
        )
    })
}

fn damaged_pages(facts: &Facts) -> Option<Finding> {
    (facts.setting("zero_damaged_pages") == "on").then(|| {
        Finding::danger(
            "postgres zero_damaged_pages",
            "on",
            "Damaged pages are emptied instead of reported.",
            "zero_damaged_pages = off",
        )
    })
}

#[cfg(test)]
mod tests;
