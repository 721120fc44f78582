//! The house style of Rust sources.

use super::{assert_none, sources};

const LONGEST: usize = 400;

/// Lines that offend, as `file:line`.
fn lines_where(offends: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, content) in sources() {
        let lines = content.lines().enumerate().filter(|(_, line)| offends(&name, line));
        found.extend(lines.map(|(n, line)| format!("{name}:{}: {}", n + 1, line.trim())));
    }
    found
}

fn is_attribute(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('#') && line.split(['[', '(', ' ', ',']).any(|word| word == name)
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let silent = sources().into_iter().filter(|(_, content)| {
        let first = content.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|said| said.trim().len() < 10)
    });
    assert_none("a file opens with a `//!` sentence", silent.map(|(name, _)| name).collect());
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let long = sources().into_iter().map(|(name, content)| (name, content.lines().count()));
    let long = long.filter(|(_, lines)| *lines > LONGEST).map(|(name, lines)| format!("{name}: {lines} lines"));
    assert_none(&format!("a file has at most {LONGEST} lines"), long.collect());
}

#[test]
fn an_exception_from_a_lint_is_expected_and_says_why() {
    let allowed = lines_where(|_, line| is_attribute(line, "allow"));
    assert_none("a lint is not allowed away: use expect with a reason", allowed);
    let mut silent = Vec::new();
    for (name, content) in sources() {
        let lines: Vec<&str> = content.lines().collect();
        for (n, _) in lines.iter().enumerate().filter(|(_, line)| is_attribute(line, "expect")) {
            // An attribute ends with its bracket, on this line or a later one.
            let end = lines[n..].iter().position(|line| line.trim_end().ends_with(']')).unwrap_or_default();
            if !lines[n..=n + end].iter().any(|line| line.contains("reason = \"")) {
                silent.push(format!("{name}:{}", n + 1));
            }
        }
    }
    assert_none("an expected lint has a reason", silent);
}

#[test]
fn tests_wait_for_signals_and_never_for_time() {
    let sleeps = ["time", "thread"].map(|module| format!("{module}::sleep"));
    let offending = lines_where(|name, line| name.starts_with("tests/") && sleeps.iter().any(|s| line.contains(s)));
    assert_none("a test awaits what it waits for, with a deadline", offending);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TODO", "FIXME", "XXX", "HACK"].map(|mark| format!("// {mark}"));
    let offending = lines_where(|_, line| marks.iter().any(|mark| line.contains(mark)));
    assert_none("what is to be done stands in an issue, not in a comment", offending);
}

#[test]
fn names_say_what_they_hold() {
    let vague = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "manager.rs", "misc.rs"];
    let offending = sources().into_iter().map(|(name, _)| name);
    let offending = offending.filter(|name| name.rsplit('/').next().is_some_and(|file| vague.contains(&file)));
    assert_none("a file is named after a noun of the field", offending.collect());
}
