//! `scorewire feeds`: try the configured feeds, as the server would fetch them.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use scorewire_core::domain::{Blame, Breaker, FeedName};
use scorewire_core::feed_reader::{FeedReader, News};
use scorewire_core::ports::{Clock, Known, SystemClock};
use scorewire_core::settings::{Feed, Settings, SettingsFile};
use tokio::time::{MissedTickBehavior, interval};

use self::report::Report;
use super::LocalArgs;

#[derive(Debug, Subcommand)]
pub(super) enum FeedsCommand {
    /// Fetch each feed, and print what viewers would be sent or what is wrong
    ///
    /// Exit status: 0 when the last try of every feed gave a value or found it unchanged, else 1.
    Check(CheckArgs),
}

/// What to try, and how to say it.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Only this feed
    name: Option<FeedName>,
    /// An answer of the source that was saved, instead of asking it
    #[arg(long, value_name = "FILE", conflicts_with = "times")]
    file: Option<PathBuf>,
    /// Try so many times, on the feed's beat, as the server would: known answers and back-off included
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Print a line of JSON for each try
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    local: LocalArgs,
}

pub(super) async fn run(command: FeedsCommand) -> anyhow::Result<ExitCode> {
    let FeedsCommand::Check(args) = command;
    let settings = args.local.settings()?;
    let file = SettingsFile::named_or_default(args.local.config.as_deref())?;
    let feeds = chosen(Feed::all(&settings, &file, &|name| std::env::var(name).ok())?, args.name.as_ref())?;
    let reader = FeedReader::from_settings(&settings)?;
    let report = Report { json: args.json };
    let well = match &args.file {
        Some(path) => {
            let [feed] = feeds.as_slice() else { bail!("--file is the answer of one feed: name it") };
            let answer = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
            report.saved(feed, path, &reader.read_saved(feed, &answer).await)?
        }
        None => {
            let tried = feeds.iter().map(|feed| try_feed(feed, &settings, &reader, &report, args.times));
            join_all(tried).await.into_iter().collect::<anyhow::Result<Vec<bool>>>()?.into_iter().all(|well| well)
        }
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(mut feeds: Vec<Feed>, name: Option<&FeedName>) -> anyhow::Result<Vec<Feed>> {
    ensure!(!feeds.is_empty(), "no feed is configured: set SOURCE_URL, or write [[feeds]] into scorewire.toml");
    if let Some(name) = name {
        let names: Vec<_> = feeds.iter().map(|feed| feed.name.to_string()).collect();
        feeds.retain(|feed| feed.name == *name);
        ensure!(!feeds.is_empty(), "there is no feed {name}, only: {}", names.join(", "));
    }
    Ok(feeds)
}

/// Tries a feed on its beat; says whether the last try was well.
async fn try_feed(
    feed: &Feed,
    settings: &Settings,
    reader: &FeedReader,
    report: &Report,
    times: u32,
) -> anyhow::Result<bool> {
    let (policy, clock) = (feed.patience(settings), SystemClock);
    let (mut breaker, mut known, mut well) = (Breaker::default(), None::<Known>, true);
    let mut beat = interval(feed.fetch_every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for _ in 0..times {
        beat.tick().await;
        if let Err(until) = breaker.ask(clock.now(), &policy) {
            report.left_alone(feed, &breaker, until, clock.now())?;
            well = false;
            continue;
        }
        let fetched = reader.fetch(feed, known.as_ref()).await;
        match &fetched.outcome {
            Ok(News::Value(_, now_known) | News::Unchanged(now_known, _)) => {
                known = Some(now_known.clone());
                breaker.succeeded();
            }
            Err(failure) if failure.kind.blame() == Blame::Filters => breaker.succeeded(),
            Err(failure) => breaker.failed(clock.now(), failure.retry_after, rand::random(), &policy),
        }
        well = fetched.outcome.is_ok();
        report.tried(feed, &fetched)?;
    }
    Ok(well)
}
