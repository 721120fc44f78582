//! What Redis's settings mean for a queue that must not lose anything.

use std::time::Duration;

use super::Facts;
use crate::doctor::Finding;

/// The first version with `XAUTOCLAIM`.
const OLDEST: (u32, u32) = (6, 2);
/// Every accepted update waits for one round trip.
const SLOW: Duration = Duration::from_millis(5);

/// Facts to findings: nothing is asked here.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        reached(facts),
        version(facts),
        cluster(facts),
        role(facts),
        append_only(facts),
        append_fsync(facts),
        eviction(facts),
        last_writes(facts),
        access(facts),
    ];
    findings.extend(replicas(facts));
    findings.extend(rewrite(facts));
    findings.extend(neighbours(facts));
    if facts.config.is_none() {
        findings.push(Finding::risk(
            "redis CONFIG GET",
            "refused",
            "Managed servers do not tell their settings: what follows from INFO is judged, the rest is not known.",
            "look into the provider's console for appendfsync and replication",
        ));
    }
    findings
}

impl Facts {
    fn info(&self, field: &str) -> &str {
        self.info.get(field).map_or("", String::as_str)
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.get(name).map(String::as_str)
    }

    fn append_only(&self) -> bool {
        self.config("appendonly").map_or(self.info("aof_enabled") == "1", |set| set == "yes")
    }
}

fn reached(facts: &Facts) -> Finding {
    let took = facts.round_trip.as_secs_f64() * 1e3;
    let found = format!("{} answers in {took:.2} ms", facts.address);
    if facts.round_trip >= SLOW {
        return Finding::risk(
            "redis round trip",
            found,
            "Every accepted update waits for at least one.",
            "run Redis in the same data centre as the processes",
        );
    }
    Finding::ok("redis round trip", found, "Every accepted update waits for at least one.")
}

fn version(facts: &Facts) -> Finding {
    let (check, found) = ("redis version", facts.info("redis_version"));
    let mut numbers = found.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        return Finding::danger(
            check,
            found,
            "Before 6.2 there is no XAUTOCLAIM: what a dead worker had in hand is never taken over.",
            "run Redis 6.2 or newer",
        );
    }
    Finding::ok(check, found, "XAUTOCLAIM hands over what a dead worker had in hand (6.2 or newer).")
}

fn cluster(facts: &Facts) -> Finding {
    let check = "redis mode";
    match facts.info("redis_mode") {
        "cluster" => Finding::danger(
            check,
            "cluster",
            "Redis Cluster is not supported yet: keys of other nodes can not be reached.",
            "use a server that is no part of a cluster",
        ),
        "sentinel" => Finding::danger(
            check,
            "sentinel",
            "A sentinel holds no data, and asking it for the primary is not supported yet.",
            "REDIS_URL to the primary itself",
        ),
        _ => Finding::ok(check, "standalone", "Redis Cluster and Sentinel are not supported yet."),
    }
}

fn role(facts: &Facts) -> Finding {
    let (check, role) = ("redis role", facts.info("role"));
    if role == "slave" {
        return Finding::danger(
            check,
            "replica",
            "A replica refuses writes, or loses them when it next copies its primary.",
            "REDIS_URL to the primary",
        );
    }
    Finding::ok(check, if role.is_empty() { "not told" } else { "primary" }, "Only a primary keeps what is written.")
}

fn append_only(facts: &Facts) -> Finding {
    let check = "redis appendonly";
    if facts.append_only() {
        return Finding::ok(check, "yes", "What was accepted is in the log and read again at start.");
    }
    let found = match facts.config("save") {
        None => "no".to_owned(),
        Some("") => "no, and no snapshots".to_owned(),
        Some(save) => format!("no, only snapshots (save {save})"),
    };
    Finding::danger(
        check,
        found,
        "When Redis ends unexpectedly, every accepted update since the last snapshot is lost.",
        "appendonly yes (while it runs: CONFIG SET appendonly yes, then CONFIG REWRITE)",
    )
}

fn append_fsync(facts: &Facts) -> Finding {
    let check = "redis appendfsync";
    match facts.config("appendfsync") {
        _ if !facts.append_only() => Finding::ok(check, "without effect", "There is no log to flush."),
        Some("always") => Finding::ok(check, "always", "Nothing accepted is lost, not even with the machine's power."),
        Some("everysec") => Finding::risk(
            check,
            "everysec",
            "The end of the machine loses up to 1 to 2 s of accepted updates; the end of the process loses none.",
            "appendfsync always, if no accepted update may be lost with a machine; else leave it",
        ),
        Some(other) => Finding::danger(
            check,
            other,
            "The end of the machine loses what the system had not written by itself, typically 30 s.",
            "appendfsync everysec, or always",
        ),
        None => Finding::risk(
            check,
            "not told",
            "How much the end of the machine loses is not known.",
            "appendfsync everysec, or always, in the provider's console",
        ),
    }
}

fn eviction(facts: &Facts) -> Finding {
    let check = "redis maxmemory-policy";
    let policy = facts.config("maxmemory-policy").unwrap_or_else(|| facts.info("maxmemory_policy"));
    let limit = facts.config("maxmemory").unwrap_or_else(|| facts.info("maxmemory"));
    let limited = !matches!(limit, "0" | "");
    let found = format!("{policy}, maxmemory {}", if limited { limit } else { "not set" });
    let advice = "maxmemory-policy noeviction";
    match policy {
        "noeviction" => Finding::ok(check, found, "When memory is full, writes are refused and nothing is dropped."),
        _ if limited => {
            Finding::danger(check, found, "When memory is full, Redis drops keys, and queued updates are keys.", advice)
        }
        _ => Finding::risk(check, found, "Nothing is dropped while maxmemory is not set; a limit makes it so.", advice),
    }
}

/// Whether the disk took what was last written to it.
fn last_writes(facts: &Facts) -> Finding {
    let check = "redis disk";
    let failed = |field: &str| !matches!(facts.info(field), "ok" | "");
    let advice = "free space on its disk and look into its log";
    if failed("aof_last_write_status") {
        return Finding::danger(check, "the last write of the log failed", "What is accepted now is not kept.", advice);
    }
    if failed("rdb_last_bgsave_status") || failed("aof_last_bgrewrite_status") {
        let stops = facts.config("stop-writes-on-bgsave-error") != Some("no");
        let (found, why) = if stops {
            ("the last snapshot or rewrite failed", "Redis refuses writes until one succeeds; nothing is lost.")
        } else {
            (
                "the last snapshot or rewrite failed, and stop-writes-on-bgsave-error is no",
                "The log grows until the disk is full.",
            )
        };
        return Finding::risk(check, found, why, advice);
    }
    Finding::ok(check, "its last writes succeeded", "A full or failing disk keeps nothing.")
}

fn access(facts: &Facts) -> Finding {
    let check = "redis access";
    match (facts.remote, facts.password) {
        (false, _) => Finding::ok(check, "on this machine", "Who reaches Redis can delete the queue."),
        (true, true) => Finding::ok(check, "by password", "Who reaches Redis can delete the queue."),
        (true, false) => Finding::risk(
            check,
            "no password, over a network",
            "Who reaches Redis can read and delete the queue.",
            "a password or a user of its own: redis://user:password@host, and a network that only the processes reach",
        ),
    }
}

/// Only servers with replicas fail over.
fn replicas(facts: &Facts) -> Option<Finding> {
    let count: u32 = facts.info("connected_slaves").parse().unwrap_or(0);
    let waits: u32 = facts.config("min-replicas-to-write").and_then(|n| n.parse().ok()).unwrap_or(0);
    let (advice, guard) = if waits > 0 {
        ("know that a failover may lose the last moments; promote the replica that is furthest", "set")
    } else {
        ("min-replicas-to-write 1 and min-replicas-max-lag 10 bound the loss; know that some remains", "not set")
    };
    (count > 0 && facts.info("role") == "master").then(|| {
        Finding::risk(
            "redis replicas",
            format!("{count}, min-replicas-to-write {guard}"),
            "Replication is asynchronous: a failover loses what the new primary had not received yet.",
            advice,
        )
    })
}

fn rewrite(facts: &Facts) -> Option<Finding> {
    (facts.append_only() && facts.config("no-appendfsync-on-rewrite") == Some("yes")).then(|| {
        Finding::risk(
            "redis no-appendfsync-on-rewrite",
            "yes",
            "While the log is rewritten nothing is flushed: the end of the machine then loses up to 30 s.",
            "no-appendfsync-on-rewrite no",
        )
    })
}

fn neighbours(facts: &Facts) -> Option<Finding> {
    let check = "redis neighbours";
    Some(match facts.keys? {
        (seen, 0) => Finding::ok(check, format!("none among {seen} keys"), "Memory and database are the fleet's own."),
        (seen, foreign) => Finding::risk(
            check,
            format!("{foreign} of {seen} keys are not this fleet's"),
            "Others may fill its memory, so that updates are refused, or run FLUSHALL.",
            "a Redis of its own; two fleets on one server need different key prefixes",
        ),
    })
}

#[cfg(test)]
mod tests;
