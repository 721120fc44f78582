//! Documents name what exists, and what exists is documented.

use std::path::Path;

use scorewire_core::domain::{FetchFault, Rejection};
use scorewire_core::settings::{Overrides, Settings, SettingsFile};

use super::{assert_none, read, root, sources};

const EXAMPLE: &str = "scorewire.example.toml";

/// The example with every setting uncommented.
fn whole_example() -> String {
    let is_setting = |line: &&str| Settings::DOCUMENTED.iter().any(|setting| sets(line, setting.name));
    let example = read(EXAMPLE);
    example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(is_setting).unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n")
}

fn sets(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// A value as the settings table writes it.
fn as_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(as_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What stands between backticks outside of code blocks.
fn code_spans(document: &str) -> Vec<String> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Whether a code span can only mean a file or folder of this repository.
fn is_path(span: &str) -> bool {
    let plain = span.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if !plain || span.starts_with(['/', '.']) {
        return false;
    }
    let known_kind =
        [".rs", ".md", ".toml", ".sql", ".html", ".css", ".js", ".yml", ".sh"].iter().any(|end| span.ends_with(end));
    let in_a_room = span.split_once('/').is_some_and(|(room, _)| root().join(room).is_dir());
    in_a_room || known_kind && !is_a_bare_source(span)
}

/// Names like `mod.rs` stand for many files.
fn is_a_bare_source(span: &str) -> bool {
    span.ends_with(".rs") && !span.contains('/')
}

#[test]
fn every_setting_stands_in_the_example_with_its_default() {
    let example = read(EXAMPLE);
    let table: toml::Table = whole_example().parse().expect("the example with all settings uncommented is TOML");
    let mut missing = Vec::new();
    for setting in Settings::DOCUMENTED {
        match table.get(setting.name).map(as_text) {
            Some(value) if value == setting.default => {}
            Some(value) => missing.push(format!("{} = {value:?}: its default is {:?}", setting.name, setting.default)),
            None => missing.push(format!("{} = {:?}: there is no such line", setting.name, setting.default)),
        }
        let names_variable = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()) == setting.env;
        if !example.split_whitespace().any(names_variable) {
            missing.push(format!("{}: its variable {} is not mentioned", setting.name, setting.env));
        }
    }
    assert_none(&format!("{EXAMPLE} has every setting"), missing);
}

#[test]
fn the_example_can_be_used_as_it_is_and_uncommented() {
    for text in [read(EXAMPLE), whole_example()] {
        let file = SettingsFile::parse(&text, Path::new(EXAMPLE)).expect("known keys");
        Settings::resolve(Overrides::default(), &file).expect("values that can be used");
    }
}

#[test]
fn every_target_of_the_makefile_says_what_it_does() {
    let makefile = read("Makefile");
    let is_target = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        let word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        word && line[name.len()..].starts_with(':') && !line[name.len()..].starts_with(":=")
    };
    let targets: Vec<&str> = makefile.lines().filter(is_target).collect();
    let silent = targets.iter().filter(|line| line.split_once("## ").is_none_or(|(_, said)| said.trim().is_empty()));
    assert_none(
        "a target has a `## ` sentence, which `make help` prints",
        silent.map(|&line| line.to_owned()).collect(),
    );
    for expected in ["help", "run", "demo", "up", "test", "check", "lint", "audit", "bench"] {
        assert!(targets.iter().any(|line| line.starts_with(&format!("{expected}:"))), "make {expected} is missing");
    }
}

#[test]
fn the_readme_begins_with_how_to_run_and_test() {
    let beginning: Vec<String> = read("README.md").lines().take(60).map(str::to_owned).collect();
    for command in ["make run", "make test"] {
        let shown = beginning.iter().any(|line| line.contains(command));
        assert!(shown, "the first 60 lines of README.md do not show `{command}`");
    }
}

#[test]
fn documents_name_files_that_exist() {
    let mut missing = Vec::new();
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/API.md",
        "docs/DOCTOR.md",
        "docs/FEEDS.md",
        "docs/PROTOCOL.md",
    ] {
        let paths: Vec<_> = code_spans(&read(document)).into_iter().filter(|span| is_path(span)).collect();
        if document == "ARCHITECTURE.md" {
            assert!(paths.len() > 10, "a map of the code names files: {paths:?}");
        }
        let gone = paths.into_iter().filter(|path| !root().join(path).exists());
        missing.extend(gone.map(|path| format!("{document}: {path}")));
    }
    assert_none("a document names files that exist", missing);
}

#[test]
fn every_slug_is_documented() {
    let api = code_spans(&read("docs/API.md"));
    // Problems are written as `Kind = "slug", STATUS, "Title";`, one a line.
    let problems = read("src/http/problem.rs");
    let slug = |line: &str| {
        let (kind, rest) = line.trim().split_once(" = \"")?;
        let (slug, rest) = rest.split_once("\", ")?;
        let is_row =
            kind.bytes().all(|b| b.is_ascii_alphanumeric()) && rest.starts_with(|c: char| c.is_ascii_uppercase());
        is_row.then(|| slug.to_owned())
    };
    let mut slugs: Vec<String> = problems.lines().filter_map(slug).collect();
    assert!(slugs.len() >= 16 && slugs.iter().any(|slug| slug == "not-found"), "kinds of problem: {slugs:?}");
    slugs.extend(Rejection::ALL.map(|rejection| rejection.slug().to_owned()));
    slugs.retain(|slug| !api.contains(slug));
    assert_none("docs/API.md explains every slug", slugs);
}

#[test]
fn every_outcome_of_a_fetch_is_documented() {
    let documented = code_spans(&read("docs/FEEDS.md"));
    let slugs = FetchFault::ALL.iter().map(|fault| fault.slug().to_owned());
    assert_none("docs/FEEDS.md explains every outcome", slugs.filter(|slug| !documented.contains(slug)).collect());
}

#[test]
fn every_variable_the_sources_read_is_a_setting_or_documented() {
    let documents = ["README.md", EXAMPLE, "docs/API.md", "CONTRIBUTING.md", "Makefile"].map(read).concat();
    let mut unknown = Vec::new();
    for (name, content) in sources() {
        for word in content.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_variable = word.strip_prefix("SCOREWIRE_").is_some_and(|rest| !rest.is_empty());
            if is_variable && !documents.contains(word) {
                unknown.push(format!("{name}: {word}"));
            }
        }
    }
    assert_none("an environment variable is documented", unknown);
}
