//! From a map of settings to findings.

use super::*;
use crate::doctor::{Level, worst};

/// A server as it is installed, changed by some settings.
fn server(changed: &[(&str, &str)]) -> Facts {
    let usual = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("synchronous_standby_names", ""),
        ("zero_damaged_pages", "off"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off"),
        ("max_connections", "100"),
        ("superuser_reserved_connections", "3"),
        ("server_version", "15.10"),
        ("server_version_num", "150010"),
    ];
    let settings = usual.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let address = "localhost:5432/scorewire".to_owned();
    Facts { address, settings: settings.collect(), connections: 4, pool: 8, ..Facts::default() }
}

fn level(facts: &Facts, check: &str) -> Level {
    let findings = judge(facts);
    findings.iter().find(|f| f.check == check).unwrap_or_else(|| panic!("no {check} in {findings:?}")).level
}

#[test]
fn a_server_as_installed_is_safe() {
    assert_eq!(worst(&judge(&server(&[]))), Level::Ok);
}

#[test]
fn every_unsafe_setting_is_named() {
    for (setting, value, check, expected) in [
        ("fsync", "off", "postgres fsync", Level::Danger),
        ("full_page_writes", "off", "postgres full_page_writes", Level::Danger),
        ("synchronous_commit", "off", "postgres synchronous_commit", Level::Danger),
        ("synchronous_commit", "local", "postgres synchronous_commit", Level::Risk),
        ("synchronous_commit", "remote_apply", "postgres synchronous_commit", Level::Ok),
        ("zero_damaged_pages", "on", "postgres zero_damaged_pages", Level::Danger),
        ("default_transaction_read_only", "on", "postgres role", Level::Danger),
        ("default_transaction_isolation", "serializable", "postgres default_transaction_isolation", Level::Ok),
        ("max_connections", "20", "postgres max_connections", Level::Risk),
        ("server_version_num", "120020", "postgres version", Level::Danger),
    ] {
        let facts = server(&[(setting, value)]);
        assert_eq!(level(&facts, check), expected, "{setting} {value}");
        assert_eq!(worst(&judge(&facts)), expected, "{setting} {value}");
    }
}

#[test]
fn a_commit_that_does_not_wait_for_the_standby_is_dangerous_where_one_is_waited_for() {
    let names = ("synchronous_standby_names", "ANY 1 (*)");
    for (set, expected) in [("local", Level::Danger), ("remote_write", Level::Danger), ("on", Level::Ok)] {
        let facts = server(&[names, ("synchronous_commit", set)]);
        assert_eq!(level(&facts, "postgres synchronous_commit"), expected, "{set}");
    }
}

#[test]
fn standbys_are_no_primary_and_may_be_behind_one() {
    assert_eq!(level(&Facts { standby: true, ..server(&[]) }, "postgres role"), Level::Danger);
    assert_eq!(level(&Facts { standbys: 1, ..server(&[]) }, "postgres standbys"), Level::Risk);
    let waited_for = server(&[("synchronous_standby_names", "ANY 1 (*)")]);
    assert_eq!(level(&Facts { standbys: 1, ..waited_for }, "postgres standbys"), Level::Ok);
}

#[test]
fn only_what_travels_needs_encryption() {
    let remote = Facts { remote: true, ..server(&[]) };
    assert_eq!(level(&remote, "postgres TLS"), Level::Risk);
    assert_eq!(level(&Facts { encrypted: true, ..remote }, "postgres TLS"), Level::Ok);
}

#[test]
fn a_schema_that_lacks_migrations_can_be_brought_up_to_date_and_a_foreign_one_can_not() {
    let with = |error| Facts { schema: Some(error), ..server(&[]) };
    assert_eq!(level(&with(SchemaError::Missing { missing: 1, known: 1 }), "postgres schema"), Level::Risk);
    assert_eq!(level(&with(SchemaError::Newer(7)), "postgres schema"), Level::Danger);
    assert_eq!(level(&with(SchemaError::Database(sqlx::Error::PoolTimedOut)), "postgres schema"), Level::Unknown);
}
