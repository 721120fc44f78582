//! Real input: a recorded match is replayed through the public API by the `replay` command, and the board must
//! equal a sum made here, another way, over the raw file.

mod independent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::support::{TestApp, within};

/// Where a recorded match of StatsBomb's open data lies, where there is one.
const MATCH_DATA: &str = "SCOREWIRE_MATCH_DATA";

async fn replay(app: &TestApp, file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command
        .arg("replay")
        .arg(file)
        .args(["--speed", "0", "--target", &app.url, "--token", &app.admin()])
        .args(arguments)
        .kill_on_drop(true);
    within("the replay", command.output()).await.expect("the binary runs")
}

/// Scores by user, of everybody who has one.
async fn board(app: &TestApp) -> BTreeMap<i64, i64> {
    let rows = app.scores("?limit=100").await;
    rows.into_iter().map(|(_, user, score)| (user, score)).collect()
}

async fn board_becomes(app: &TestApp, expected: &BTreeMap<i64, i64>) {
    crate::support::eventually("the board to equal the sum over the file", || async {
        (board(app).await == *expected).then_some(())
    })
    .await;
}

async fn replayed_twice(file: &Path, events: usize) {
    let text = std::fs::read_to_string(file).expect("the match");
    let raw: Vec<Value> = serde_json::from_str(&text).expect("a match is a list of events");
    assert_eq!(raw.len(), events);
    let expected = independent::sums(&raw);
    let app = TestApp::start().await;
    let first = replay(&app, file, &["--run-id", "first-run"]).await;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    board_becomes(&app, &expected).await;

    let accepted = app.server.wiring.metrics.accepted.get();
    let again = replay(&app, file, &["--run-id", "first-run"]).await;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let metrics = &app.server.wiring.metrics;
    assert_eq!(metrics.accepted.get(), accepted, "nothing new was accepted");
    assert_eq!(metrics.replayed.get(), accepted, "everything was recognised");
    assert_eq!(board(&app).await, expected);

    let other = replay(&app, file, &["--run-id", "another-run"]).await;
    assert!(other.status.success());
    board_becomes(&app, &expected.iter().map(|(user, score)| (*user, score * 2)).collect()).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_match_scores_what_its_file_says() {
    replayed_twice(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/match.json"), 825).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_match_scores_what_its_file_says() {
    let Some(file) = std::env::var_os(MATCH_DATA).map(PathBuf::from) else {
        // The one test that may be skipped: the recording does not ship with the project.
        println!("1 skipped: set {MATCH_DATA} to a StatsBomb event file to replay a recorded match");
        return;
    };
    replayed_twice(&file, 4_027).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_come_from_the_settings_file() {
    let app = TestApp::start().await;
    let settings = app.storage.dir.path().join("points.toml");
    let off = ["shot_on_target", "pass_completed", "assist", "key_pass", "aerial_won", "own_goal", "goal_conceded"];
    let off: String = off.iter().map(|rule| format!("{rule} = 0\n")).collect();
    std::fs::write(&settings, format!("[points]\ngoal = 1000\n{off}")).expect("a settings file");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/match.json");
    let ran = replay(&app, &file, &["--config", settings.to_str().expect("text")]).await;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let scorers = crate::support::eventually("the scorers", || async {
        let rows = board(&app).await;
        let scorers = rows.values().filter(|score| **score > 500).count();
        (scorers > 0).then_some(scorers)
    })
    .await;
    assert!(scorers >= 2, "goals from both sides");
    app.finish().await;
}
