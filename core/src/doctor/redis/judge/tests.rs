//! From a map of settings to findings.

use super::*;
use crate::doctor::{Level, worst};

/// A server as deploy/redis.conf sets it, changed by some settings and fields of `INFO`.
fn server(settings: &[(&str, &str)], info: &[(&str, &str)]) -> Facts {
    let map = |usual: &[(&str, &str)], changed: &[(&str, &str)]| {
        usual.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let usual = [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("no-appendfsync-on-rewrite", "no"),
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("stop-writes-on-bgsave-error", "yes"),
        ("min-replicas-to-write", "0"),
    ];
    let told = [
        ("redis_version", "7.0.15"),
        ("redis_mode", "standalone"),
        ("role", "master"),
        ("connected_slaves", "0"),
        ("aof_enabled", "1"),
        ("maxmemory", "0"),
        ("maxmemory_policy", "noeviction"),
        ("aof_last_write_status", "ok"),
        ("aof_last_bgrewrite_status", "ok"),
        ("rdb_last_bgsave_status", "ok"),
    ];
    Facts {
        address: "127.0.0.1:6379".to_owned(),
        info: map(&told, info),
        config: Some(map(&usual, settings)),
        round_trip: Duration::from_micros(80),
        keys: Some((3, 0)),
        ..Facts::default()
    }
}

fn level(facts: &Facts, check: &str) -> Level {
    let findings = judge(facts);
    findings.iter().find(|f| f.check == check).unwrap_or_else(|| panic!("no {check} in {findings:?}")).level
}

#[test]
fn a_server_that_flushes_always_is_safe() {
    assert_eq!(worst(&judge(&server(&[], &[]))), Level::Ok);
}

#[test]
fn every_unsafe_setting_is_named() {
    for (setting, value, check, expected) in [
        ("appendonly", "no", "redis appendonly", Level::Danger),
        ("appendfsync", "everysec", "redis appendfsync", Level::Risk),
        ("appendfsync", "no", "redis appendfsync", Level::Danger),
        ("no-appendfsync-on-rewrite", "yes", "redis no-appendfsync-on-rewrite", Level::Risk),
        ("maxmemory-policy", "allkeys-lru", "redis maxmemory-policy", Level::Risk),
    ] {
        let facts = server(&[(setting, value)], &[]);
        assert_eq!(level(&facts, check), expected, "{setting} {value}");
        assert_eq!(worst(&judge(&facts)), expected, "{setting} {value}");
    }
    let evicts = server(&[("maxmemory-policy", "volatile-ttl"), ("maxmemory", "1048576")], &[]);
    assert_eq!(level(&evicts, "redis maxmemory-policy"), Level::Danger);
    let refuses = server(&[("maxmemory", "1048576")], &[]);
    assert_eq!(level(&refuses, "redis maxmemory-policy"), Level::Ok);
}

#[test]
fn every_unsafe_state_is_named() {
    for (field, value, check, expected) in [
        ("redis_version", "6.0.16", "redis version", Level::Danger),
        ("redis_version", "6.2.0", "redis version", Level::Ok),
        ("redis_version", "unstable", "redis version", Level::Danger),
        ("redis_mode", "cluster", "redis mode", Level::Danger),
        ("redis_mode", "sentinel", "redis mode", Level::Danger),
        ("role", "slave", "redis role", Level::Danger),
        ("connected_slaves", "2", "redis replicas", Level::Risk),
        ("aof_last_write_status", "err", "redis disk", Level::Danger),
        ("rdb_last_bgsave_status", "err", "redis disk", Level::Risk),
        ("aof_last_bgrewrite_status", "err", "redis disk", Level::Risk),
    ] {
        assert_eq!(level(&server(&[], &[(field, value)]), check), expected, "{field} {value}");
    }
}

#[test]
fn a_server_that_keeps_its_settings_to_itself_is_judged_by_what_it_tells() {
    let closed = |info| Facts { config: None, ..server(&[], info) };
    let safe = closed(&[]);
    assert_eq!(level(&safe, "redis appendonly"), Level::Ok);
    assert_eq!(level(&safe, "redis appendfsync"), Level::Risk);
    assert_eq!(level(&safe, "redis CONFIG GET"), Level::Risk);
    assert_eq!(worst(&judge(&safe)), Level::Risk);
    assert_eq!(level(&closed(&[("aof_enabled", "0")]), "redis appendonly"), Level::Danger);
    let evicts = closed(&[("maxmemory_policy", "allkeys-lru"), ("maxmemory", "1000")]);
    assert_eq!(level(&evicts, "redis maxmemory-policy"), Level::Danger);
}

#[test]
fn who_can_reach_it_and_who_shares_it_are_risks() {
    let remote = Facts { remote: true, ..server(&[], &[]) };
    assert_eq!(level(&remote, "redis access"), Level::Risk);
    assert_eq!(level(&Facts { password: true, ..remote }, "redis access"), Level::Ok);
    let shared = Facts { keys: Some((10, 4)), ..server(&[], &[]) };
    assert_eq!(level(&shared, "redis neighbours"), Level::Risk);
    let far = Facts { round_trip: Duration::from_millis(40), ..server(&[], &[]) };
    assert_eq!(level(&far, "redis round trip"), Level::Risk);
}
