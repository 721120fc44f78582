//! What starts a fleet can be read by the programs that start it.

use std::process::{Command, Output};

use super::{assert_none, read, root};

const SECRETS: [&str; 3] = ["JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD"];

/// Asks docker-compose about our file, with these secrets set and nothing else.
fn compose(question: &[&str], secrets: &[&str]) -> Output {
    let nothing = tempfile::NamedTempFile::new().expect("an empty file");
    let path = std::env::var_os("PATH").expect("a PATH");
    Command::new("docker-compose")
        .arg("--env-file")
        .arg(nothing.path())
        .arg("--file")
        .arg(root().join("docker-compose.yml"))
        .args(question)
        .env_clear()
        .env("PATH", path)
        .envs(secrets.iter().map(|name| (name, "0")))
        .output()
        .expect("docker-compose is installed: scripts/install-test-tools.sh")
}

#[test]
fn the_compose_file_is_valid() {
    let Output { status, stderr, .. } = compose(&["config", "-q"], &SECRETS);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let services = String::from_utf8(compose(&["config", "--services"], &SECRETS).stdout).expect("text");
    let mut services: Vec<&str> = services.lines().collect();
    services.sort_unstable();
    assert_eq!(services, ["api-1", "api-2", "migrate", "postgres", "redis", "worker-1", "worker-2"]);
}

#[test]
fn the_compose_file_has_no_secret_of_its_own() {
    for missing in SECRETS {
        let others: Vec<&str> = SECRETS.into_iter().filter(|name| *name != missing).collect();
        let Output { status, stderr, .. } = compose(&["config", "-q"], &others);
        let said = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && said.contains(missing), "without {missing}: {said}");
    }
    let example = read("deploy/env.example");
    let unnamed = SECRETS.into_iter().filter(|name| !example.lines().any(|line| line == format!("{name}=")));
    assert_none("deploy/env.example names every secret and has none", unnamed.map(str::to_owned).collect());
}

#[test]
fn the_compose_file_names_settings_that_exist() {
    let known = |word: &str| scorewire_core::settings::Settings::DOCUMENTED.iter().any(|setting| setting.env == word);
    let file = read("docker-compose.yml");
    let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: Vec<&str> = words.filter(|word| word.starts_with("SCOREWIRE_")).collect();
    assert!(named.contains(&"SCOREWIRE_LISTEN"), "{named:?}");
    let unknown = named.into_iter().filter(|word| !known(word));
    assert_none("a variable is a setting", unknown.map(str::to_owned).collect());
}

#[test]
fn scripts_can_be_read_by_their_shell() {
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root().join("scripts")).expect("scripts") {
        let path = entry.expect("an entry").path();
        let Output { status, stderr, .. } = Command::new("bash").arg("-n").arg(&path).output().expect("bash runs");
        if !status.success() {
            wrong.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&stderr)));
        }
    }
    assert_none("bash reads every script", wrong);
}
