//! Filters that run away: the caller is answered in time, nothing piles up, and other feeds do not notice.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use scorewire_core::domain::{FeedName, FetchFault};
use scorewire_core::transform::{Filters, TransformLimits, Transformed, Transformer};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{eventually, within};

const DEADLINE: Duration = Duration::from_millis(700);

fn transformer(deadline: Duration) -> Transformer {
    let limits = TransformLimits { deadline, memory: 64 << 20, output: 1_000 };
    Transformer::new(PathBuf::from(env!("CARGO_BIN_EXE_scorewire")), limits)
}

fn feed(name: &str) -> FeedName {
    FeedName::parse(name).expect("a name")
}

fn filters(transform: &str) -> Filters {
    Filters { transform: transform.to_owned(), error: None, dedupe: None }
}

async fn fault(transformer: &Transformer, transform: &str) -> FetchFault {
    within("a verdict", transformer.run(&feed("wild"), &filters(transform), b"{}")).await.expect_err(transform).kind
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_never_ends_is_ended() {
    let transformer = transformer(DEADLINE);
    for transform in ["def f: f; f", "last(repeat(1))", "[limit(1; repeat(empty))]", "reduce range(1e15) as $x (0; 1)"]
    {
        assert_eq!(fault(&transformer, transform).await, FetchFault::TransformDeadline, "{transform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_eats_memory_or_stack_dies_alone() {
    let transformer = transformer(Duration::from_secs(20));
    for transform in
        ["[range(1e12)]", "def f: 1 + f; f", "reduce range(40) as $n (\"x\"; . + .)", "[limit(1e9; repeat(\"x\"))]"]
    {
        let kind = fault(&transformer, transform).await;
        assert!(matches!(kind, FetchFault::TransformCrashed | FetchFault::TransformFailed), "{transform}: {kind:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let verdict = within("a verdict", transformer.run(&feed("deep"), &filters("."), deep.as_bytes())).await;
    assert_eq!(verdict.expect_err("too deep").kind, FetchFault::Garbage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_runs_away_once_at_a_time_and_others_go_on() {
    // So long that only the other feeds can be the first to end.
    let transformer = transformer(Duration::from_secs(5));
    let begun = Instant::now();
    let wild = async {
        let kind = fault(&transformer, "def f: f; f").await;
        (kind, begun.elapsed())
    };
    let others = async {
        // The second fetch of the same feed fails at once.
        let again = eventually("the runaway to run", || async {
            let run = transformer.run(&feed("wild"), &filters("1"), b"{}").await;
            run.err().map(|failure| failure.kind)
        })
        .await;
        let tame = transformer.run(&feed("tame"), &filters(".a"), b"{\"a\":7}").await;
        (again, tame, begun.elapsed())
    };
    let ((kind, ended), (again, tame, others_ended)) = tokio::join!(wild, others);
    assert_eq!((kind, again), (FetchFault::TransformDeadline, FetchFault::TransformBusy));
    assert_eq!(tame, Ok(Transformed { data: "7".to_owned(), dedupe: None }));
    assert!(others_ended < ended, "{others_ended:?} {ended:?}");
    // And the feed is tried again as soon as it is over.
    assert!(transformer.run(&feed("wild"), &filters("1"), b"{}").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_feeds_run_away_each_is_answered_and_all_can_go_on() {
    let transformer = transformer(DEADLINE);
    let feeds: Vec<_> = (0..12).map(|n| feed(&format!("wild-{n}"))).collect();
    let wild = filters("def f: f; f");
    let runs = feeds.iter().map(|feed| transformer.run(feed, &wild, b"{}"));
    let ended = within("all verdicts", futures_util::future::join_all(runs)).await;
    let kinds: Vec<_> = ended.into_iter().map(|ended| ended.expect_err("no end").kind).collect();
    assert!(
        kinds.iter().all(|kind| matches!(kind, FetchFault::TransformDeadline | FetchFault::TransformBusy)),
        "{kinds:?}"
    );
    assert!(kinds.contains(&FetchFault::TransformBusy), "twelve at once would be too many: {kinds:?}");
    assert!(transformer.run(&feeds[11], &filters("1"), b"{}").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_takes_the_process_with_it() {
    let transformer = transformer(Duration::from_secs(600));
    let gone = tokio::time::timeout(DEADLINE, transformer.run(&feed("wild"), &filters("def f: f; f"), b"{}")).await;
    assert!(gone.is_err(), "it would have run on");
    assert!(transformer.run(&feed("wild"), &filters("1"), b"{}").await.is_ok(), "the feed is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_see_neither_variables_nor_files() {
    let transformer = transformer(Duration::from_secs(20));
    let run = transformer.run(&feed("spy"), &filters("env"), b"{}").await.expect("a value");
    assert_eq!(run.data, "{}");
    let include = filters("include \"/etc/passwd\"; .");
    assert!(include.check().is_err_and(|(_, error)| error.to_string().contains("other files")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_whose_server_was_killed_ends_by_itself() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.arg("transform").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut orphan = command.spawn().expect("it runs");
    let task = json!({
        "filters": { "transform": "def f: f; f", "error": null, "dedupe": null },
        "output": 1_000, "memory": 64 << 20, "seconds": 1,
    });
    let mut input = orphan.stdin.take().expect("its input");
    input.write_all(format!("{task}\n{{}}").as_bytes()).await.expect("it reads");
    drop(input);
    let Output { status, stdout, .. } = within("its end", orphan.wait_with_output()).await.expect("a status");
    assert!(!status.success() && stdout.is_empty(), "{status}");
}
