//! `scorewire jobs`: look at jobs, and retry or discard those that were given up on.

mod table;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use scorewire_core::dead_letters::{self, Verdict};
use scorewire_core::ports::{JobKind, JobState};
use serde::Serialize;

use super::LocalArgs;
use super::deployment::{Deployment, answered, found};
use crate::http::{DecidedView, JobPageView, JobView, StatsView};

/// Jobs asked for at a time.
const PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs in a state: dead letters, newest first, if you do not say which
    List(ListArgs),
    /// Show a dead letter or unfinished job with what it carries
    Show(ShowArgs),
    /// Queue dead letters again; each is applied at most once however often it is retried
    Retry(RetryArgs),
    /// Forget dead letters for good, and the keys they were sent with
    Discard(DiscardArgs),
    /// Count unfinished jobs and dead letters
    Stats(StatsArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// scores or fetch
    #[arg(long, default_value = "scores")]
    kind: JobKind,
    /// queued, running, retrying or dead
    #[arg(long, default_value = "dead")]
    state: JobState,
    /// The most to list
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on where another list ended
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The id of a dead letter, of a job, or of an update in one
    id: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub(super) struct RetryArgs {
    /// Ids of dead letters
    ids: Vec<String>,
    /// All dead letters there are now of a kind
    #[arg(long)]
    all: bool,
    /// Whose letters --all means: scores or fetch
    #[arg(long, default_value = "scores")]
    kind: JobKind,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub(super) struct DiscardArgs {
    /// Ids of dead letters
    ids: Vec<String>,
    /// All dead letters there are now of a kind; needs --yes
    #[arg(long, requires = "yes")]
    all: bool,
    /// Whose letters --all means: scores or fetch
    #[arg(long, default_value = "scores")]
    kind: JobKind,
    /// Yes, they may be lost
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// scores or fetch
    #[arg(long, default_value = "scores")]
    kind: JobKind,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    local: LocalArgs,
}

pub(super) async fn run(command: JobsCommand) -> anyhow::Result<()> {
    match command {
        JobsCommand::List(args) => {
            let deployment = args.output.deployment().await?;
            let listed = list(&deployment, (args.kind, args.state), args.after, args.limit).await;
            deployment.close().await;
            args.output.print(&listed?, |page| table::page(page, args.state))
        }
        JobsCommand::Show(args) => {
            let deployment = args.output.deployment().await?;
            let job = find(&deployment, &args.id).await;
            deployment.close().await;
            let unknown = || format!("no dead letter, unfinished job or update in one has the id {}", args.id);
            args.output.print(&job?.with_context(unknown)?, table::job)
        }
        JobsCommand::Retry(args) => {
            decide(Verdict::Retry, &args.ids, args.all.then_some(args.kind), &args.output).await
        }
        JobsCommand::Discard(args) => {
            decide(Verdict::Discard, &args.ids, args.all.then_some(args.kind), &args.output).await
        }
        JobsCommand::Stats(args) => {
            let deployment = args.output.deployment().await?;
            let stats = stats(&deployment, args.kind).await;
            deployment.close().await;
            args.output.print(&stats?, table::stats)
        }
    }
}

impl Output {
    async fn deployment(&self) -> anyhow::Result<Deployment> {
        Deployment::reach(&self.local.settings()?).await
    }

    #[expect(clippy::print_stdout, reason = "this is the command's output")]
    fn print<T: Serialize>(&self, what: &T, for_people: impl Fn(&T) -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(what)?);
        } else {
            println!("{}", for_people(what).trim_end());
        }
        Ok(())
    }
}

async fn list(
    deployment: &Deployment,
    which: (JobKind, JobState),
    after: Option<String>,
    limit: usize,
) -> anyhow::Result<JobPageView> {
    let mut all = JobPageView { jobs: Vec::new(), next: after };
    while all.jobs.len() < limit {
        let page = page(deployment, which, all.next.as_deref(), PAGE.min(limit - all.jobs.len())).await?;
        all.jobs.extend(page.jobs);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    Ok(all)
}

async fn page(
    deployment: &Deployment,
    (kind, state): (JobKind, JobState),
    after: Option<&str>,
    limit: usize,
) -> anyhow::Result<JobPageView> {
    match deployment {
        Deployment::Open(wiring) => {
            let after = after.map(str::parse).transpose()?;
            Ok(wiring.inspector.list(kind, state, after.as_ref(), limit).await?.into())
        }
        Deployment::Running(api) => {
            let (kind, state) = (kind.name(), state.name());
            let path = format!("/admin/jobs?kind={kind}&state={state}&limit={limit}{}", next(after)?);
            Ok(answered(api.request(Method::GET, &path)).await?.1)
        }
    }
}

async fn find(deployment: &Deployment, id: &str) -> anyhow::Result<Option<JobView>> {
    match deployment {
        Deployment::Open(wiring) => Ok(wiring.inspector.find(id).await?.map(JobView::whole)),
        Deployment::Running(api) => match plain(id) {
            true => found(api.request(Method::GET, &format!("/admin/jobs/{id}"))).await,
            false => Ok(None),
        },
    }
}

async fn stats(deployment: &Deployment, kind: JobKind) -> anyhow::Result<StatsView> {
    match deployment {
        Deployment::Open(wiring) => Ok(wiring.queue.stats(kind).await?.into()),
        Deployment::Running(api) => {
            let path = format!("/admin/jobs/stats?kind={}", kind.name());
            Ok(answered(api.request(Method::GET, &path)).await?.1)
        }
    }
}

/// What was decided.
#[derive(Serialize)]
struct Decided {
    ids: Vec<String>,
    /// Named, but not dead.
    not_dead: Vec<String>,
}

/// Decides about these, or about all of a kind.
async fn decide(verdict: Verdict, ids: &[String], all: Option<JobKind>, output: &Output) -> anyhow::Result<()> {
    let deployment = output.deployment().await?;
    let decided = match all {
        Some(kind) => decide_all(&deployment, verdict, kind).await,
        None => decide_each(&deployment, verdict, ids).await,
    };
    deployment.close().await;
    let decided = decided?;
    output.print(&decided, |decided| {
        let done = match verdict {
            Verdict::Retry => "queued again",
            Verdict::Discard => "discarded",
        };
        let lines: String = decided.ids.iter().map(|id| format!("{id}\t{done}\n")).collect();
        format!("{lines}{} {done}", decided.ids.len())
    })?;
    if !decided.not_dead.is_empty() {
        bail!("no dead letter has the id {}", decided.not_dead.join(", "));
    }
    Ok(())
}

async fn decide_each(deployment: &Deployment, verdict: Verdict, ids: &[String]) -> anyhow::Result<Decided> {
    let decided = match deployment {
        Deployment::Open(wiring) => dead_letters::decide(&*wiring.inspector, verdict, ids).await?,
        Deployment::Running(api) => {
            let mut decided = Vec::new();
            for id in ids.iter().filter(|id| plain(id)) {
                let request = match verdict {
                    Verdict::Retry => api.request(Method::POST, &format!("/admin/jobs/{id}/retry")),
                    Verdict::Discard => api.request(Method::DELETE, &format!("/admin/jobs/{id}")),
                };
                let view: Option<DecidedView> = found(request).await?;
                decided.extend(view.into_iter().flat_map(|view| view.ids));
            }
            decided
        }
    };
    let not_dead = ids.iter().filter(|id| !decided.contains(id)).cloned().collect();
    Ok(Decided { ids: decided, not_dead })
}

async fn decide_all(deployment: &Deployment, verdict: Verdict, kind: JobKind) -> anyhow::Result<Decided> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = match deployment {
            Deployment::Open(wiring) => {
                let from = after.as_deref().map(str::parse).transpose()?;
                let (ids, next) =
                    dead_letters::decide_page(&*wiring.inspector, verdict, kind, from.as_ref(), PAGE).await?;
                DecidedView { ids, next: next.map(|next| next.to_string()) }
            }
            Deployment::Running(api) => {
                let request = match verdict {
                    Verdict::Retry => (Method::POST, "/admin/jobs/retry"),
                    Verdict::Discard => (Method::DELETE, "/admin/jobs"),
                };
                let path = format!("{}?kind={}&state=dead{}", request.1, kind.name(), next(after.as_deref())?);
                answered(api.request(request.0, &path)).await?.1
            }
        };
        all.extend(page.ids);
        after = page.next;
        if after.is_none() {
            return Ok(Decided { ids: all, not_dead: Vec::new() });
        }
    }
}

/// Whether a text can be an id, and so part of a path.
fn plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && !id.starts_with('.')
}

/// The place where a page begins, as part of a query.
fn next(after: Option<&str>) -> anyhow::Result<String> {
    let Some(after) = after else { return Ok(String::new()) };
    let cursor: scorewire_core::ports::JobCursor = after.parse()?;
    Ok(format!("&after={cursor}"))
}
