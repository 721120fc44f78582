//! `scorewire replay`: plays a recorded football match onto a scoreboard through its public API.
//!
//! The file is read ([`statsbomb`]), each event is judged by the points table ([`points`]), the resulting updates get
//! their keys and due times ([`plan`], [`pace`]), and [`run`] posts them in order, a bounded number in flight, with a
//! patient [`client`]. Keys depend only on run id, event and rule, so a run can be stopped and repeated at will.

mod client;
mod gate;
mod match_error;
mod pace;
mod plan;
mod points;
mod problem;
mod progress;
mod report;
mod retry;
mod statsbomb;
mod table;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use self::client::Client;
use self::pace::Speed;
use self::plan::{RunId, Update};
pub(crate) use self::points::PointsTable;
use self::problem::ClientError;
use self::progress::Progress;
use self::report::{Report, Tally};

/// Play a recorded match onto a scoreboard: each deed of a player becomes a score update.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Match file in the event shape of StatsBomb open data.
    pub(crate) file: PathBuf,
    /// How many times faster than the match to play; 0 is as fast as possible.
    #[arg(long, default_value = "60", value_name = "FACTOR", allow_negative_numbers = true)]
    pub(crate) speed: Speed,
    /// Address of the server.
    #[arg(long, default_value = "http://localhost:3000", value_name = "URL")]
    pub(crate) target: String,
    /// JWT with the scopes scores:write:any and users:write.
    #[arg(long, env = "SCOREWIRE_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) token: Option<String>,
    /// Name of the run: under the same name nothing is counted twice. New for each run unless given.
    #[arg(long, value_name = "ID")]
    pub(crate) run_id: Option<RunId>,
    /// Most posts in flight at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
}

/// Why a replay could not start or go on, apart from the file and the server.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("the replay needs a token: give it with --token or in SCOREWIRE_TOKEN")]
    NoToken,
    #[error("no event of the match earns points by the points table")]
    NothingScores,
}

/// Plays the match to its end, or until the server refuses an update or stays away.
///
/// Progress goes to standard error, the closing report to standard output.
pub(crate) async fn run(args: ReplayArgs, points: PointsTable) -> anyhow::Result<()> {
    let token = args.token.as_deref().filter(|token| !token.trim().is_empty()).ok_or(ReplayError::NoToken)?;
    let target = args.target.trim_end_matches('/');
    let client = Client::new(target, token)?;
    let events = statsbomb::read(&args.file)?;
    let run_id = args.run_id.clone().unwrap_or_else(RunId::new);
    let updates = plan::plan(&events, &points, &run_id, args.speed);
    if updates.is_empty() {
        return Err(ReplayError::NothingScores.into());
    }

    let total = updates.len();
    let announcement = format!(
        "Replaying {} to {target}: {} events, {total} updates, run id {run_id}",
        args.file.display(),
        events.len(),
    );
    let progress = Progress::start(&announcement, total)?;
    let client = Arc::new(client.telling(&progress));
    let mut tally = Tally::default();
    let outcome = post_all(&client, &updates, args.connections.into(), &progress, &mut tally).await;
    progress.end(&format!("Posted {} of {total} updates", tally.posted));
    outcome.with_context(|| {
        format!("the replay stopped early; repeated with --run-id {run_id}, it counts nothing twice")
    })?;

    let (file, events, waits) = (args.file.as_path(), events.len(), client.waits());
    let report = Report { run_id: &run_id, file, target, events, updates: &updates, tally, waits };
    report.write(&mut std::io::stdout().lock()).context("cannot write the report")
}

/// Posts in flight; each ends with the index of its update and whether the server had seen its key before.
type Posts = JoinSet<(usize, Result<bool, ClientError>)>;

/// Posts every update when it is due, at most `connections` at a time, and creates each player before the first one.
///
/// On an error the posts still in flight are given up; their keys make it safe to post them again.
async fn post_all(
    client: &Arc<Client>,
    updates: &[Update],
    connections: usize,
    progress: &Progress,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut count = |done: Result<(usize, Result<bool, ClientError>), JoinError>| -> anyhow::Result<()> {
        let (index, answer) = done.context("a post ended unexpectedly")?;
        let seen_before = answer?;
        tally.posted += 1;
        tally.replayed += u64::from(seen_before);
        progress.posted(&updates[index]);
        Ok(())
    };
    let started = Instant::now();
    let mut known = HashSet::new();
    let mut posts = Posts::new();
    for (index, update) in updates.iter().enumerate() {
        let due = started + update.due;
        // Answers are taken in while waiting, so that a refusal ends the run at once.
        loop {
            let room = posts.len() < connections;
            tokio::select! {
                Some(done) = posts.join_next() => count(done)?,
                () = sleep_until(due), if room => break,
            }
        }
        progress.due(update);
        if known.insert(update.player.id) {
            client.ensure_user(&update.player).await?;
        }
        let (client, update) = (Arc::clone(client), update.clone());
        posts.spawn(async move { (index, client.post_update(&update).await) });
    }
    while let Some(done) = posts.join_next().await {
        count(done)?;
    }
    Ok(())
}
