//! `scorewire rebuild`: the rankings from the ledger.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;

use super::LocalArgs;
use super::deployment::{Deployment, answered};
use crate::http::rebuild::{RebuiltView, rebuild_now};

#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    /// Also add up the recorded updates of every user, and name scores they do not add up to (exit status 1)
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    local: LocalArgs,
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) async fn run(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let settings = args.local.settings()?;
    let deployment = Deployment::reach(&settings).await?;
    let rebuilt: RebuiltView = match &deployment {
        Deployment::Open(wiring) => rebuild_now(wiring, &settings, args.verify).await?,
        Deployment::Running(api) => {
            let path = format!("/admin/rebuild?verify={}", args.verify);
            answered(api.request(Method::POST, &path)).await?.1
        }
    };
    deployment.close().await;
    println!("board {}: {} users, as the ledger has them", rebuilt.board, rebuilt.users);
    let Some(verified) = rebuilt.verified else { return Ok(ExitCode::SUCCESS) };
    for wrong in &verified.wrong {
        println!(
            "user {}: the score is {}, the recorded updates add up to {}",
            wrong.user_id, wrong.score, wrong.recorded
        );
    }
    if verified.undecidable > 0 {
        println!(
            "{} users are older than the retention: updates of theirs may be forgotten, so their sums say nothing",
            verified.undecidable
        );
    }
    if verified.wrong.is_empty() {
        println!("every other score is the sum of its recorded updates");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
