//! What a compiler can not check: the house style of the sources, and that documents name what exists.

mod deployment;
mod documents;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

/// Where the repository begins.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
fn read(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name} is part of the repository, but: {error}"))
}

/// Every Rust source with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for room in ["src", "core", "workers", "tests", "bench"] {
        collect(&root().join(room), &mut found);
    }
    assert!(found.len() > 50, "only {} sources were found", found.len());
    found
}

fn collect(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            let content = read(&name);
            found.push((name, content));
        }
    }
}

/// Fails with everything that is wrong, not only the first.
#[track_caller]
fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}, but:\n  {}\n", offenders.join("\n  "));
}
