//! Everything is killed at random, by a seed: every update that was accepted is applied exactly once.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::support::{Fleet, Load, Member, Plan, lasting};
use crate::support::{eventually, full_or};

const USERS: i64 = 50;
/// How long Redis and PostgreSQL are away.
const AWAY: Duration = Duration::from_secs(5);
/// How long a worker stands still.
const STILL: Duration = Duration::from_secs(8);
/// Kills of workers, and of API processes.
const KILLS: (usize, usize) = (4, 3);

/// What was done, and how long it took to recover.
#[derive(Default)]
struct Report {
    workers_killed: usize,
    apis_killed: usize,
    /// From Redis' return to the next update that was accepted.
    accepting: Duration,
    /// From Redis' return to the next update that was decided.
    working: Duration,
    /// From PostgreSQL's return to the next update that was decided.
    deciding: Duration,
    /// Deliveries of updates that were decided before, as far as their worker lived to tell.
    duplicates: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers_killed, apis_killed, accepting, working, deciding, duplicates } = self;
        write!(f, "killed: {workers_killed} workers, {apis_killed} APIs, Redis and PostgreSQL once each; ")?;
        write!(f, "after Redis' return accepting {accepting:.1?}, deciding {working:.1?}; ")?;
        write!(f, "after PostgreSQL's return deciding {deciding:.1?}; ")?;
        write!(f, "at least {duplicates} duplicates absorbed")
    }
}

/// Moments within a span, in order.
fn moments(random: &mut StdRng, count: usize, span: Duration) -> Vec<Duration> {
    let mut moments: Vec<_> = (0..count).map(|_| span.mul_f64(random.random_range(0.05..0.9))).collect();
    moments.sort_unstable();
    moments
}

async fn until(began: Instant, moment: Duration) {
    lasting(moment.saturating_sub(began.elapsed())).await;
}

/// Kills members of one kind at moments, each at once started again.
async fn kill(members: &[Member], plan: &[(Duration, usize)], before: impl AsyncFn(&Member)) -> usize {
    let began = Instant::now();
    for &(moment, which) in plan {
        until(began, moment).await;
        before(&members[which]).await;
        members[which].kill().await;
        members[which].start().await;
    }
    plan.len()
}

/// The count of duplicates that a worker tells.
async fn duplicates(fleet: &Fleet, worker: &Member) -> u64 {
    let answer = fleet.http.get(format!("{}/metrics", worker.url())).send().await;
    let Ok(answer) = answer else { return 0 };
    let Ok(text) = answer.text().await else { return 0 };
    let count = text.lines().find_map(|line| line.strip_prefix("scorewire_updates_duplicate_total "));
    count.expect("it is counted").trim().parse().expect("a number")
}

/// How long it takes until a count grows, from the first time it can be read.
async fn changes(what: &str, count: impl AsyncFn() -> Option<u64>) -> Duration {
    let began = Instant::now();
    let before = eventually(what, || count()).await;
    eventually(what, || async { count().await.filter(|now| *now > before) }).await;
    began.elapsed()
}

async fn run(seed: u64) {
    let updates = full_or(20_000, 4_000);
    let mut random = StdRng::seed_from_u64(seed);
    let fleet = Fleet::start(Plan { users: USERS, fsync: fsync(), ..Plan::default() }).await;
    let load = Load::keyed(updates, full_or(500, 200), USERS, format!("seed-{seed}"));
    let span = load.span();
    let mut plan = |count, members: usize| -> Vec<(Duration, usize)> {
        let moments = moments(&mut random, count, span);
        moments.into_iter().map(|moment| (moment, random.random_range(0..members))).collect()
    };
    let (workers, apis) = (plan(KILLS.0, fleet.workers.len()), plan(KILLS.1, fleet.apis.len()));
    let (redis, postgres, still) = (plan(1, 1)[0].0, plan(1, 1)[0].0, plan(1, fleet.workers.len())[0]);
    let absorbed = std::sync::atomic::AtomicU64::new(0);
    let began = Instant::now();
    let note = async |worker: &Member| {
        absorbed.fetch_add(duplicates(&fleet, worker).await, Ordering::Relaxed);
    };
    let (sent, workers_killed, apis_killed, (accepting, working), deciding, ()) = tokio::join!(
        load.send(&fleet),
        kill(&fleet.workers, &workers, note),
        kill(&fleet.apis, &apis, async |_: &Member| {}),
        async {
            until(began, redis).await;
            fleet.kill_redis().await;
            lasting(AWAY).await;
            fleet.restart_redis().await;
            tokio::join!(
                changes("an update to be accepted", async || Some(load.accepted.load(Ordering::Relaxed))),
                changes("an update to be decided", async || fleet.decided().await),
            )
        },
        async {
            until(began, postgres).await;
            fleet.kill_postgres().await;
            lasting(AWAY).await;
            fleet.restart_postgres().await;
            changes("an update to be decided", async || fleet.decided().await).await
        },
        async {
            until(began, still.0).await;
            fleet.workers[still.1].stopped_while(lasting(STILL)).await;
        },
    );
    let sending = began.elapsed();
    fleet.assert_exactly_once(&sent).await;
    for worker in &fleet.workers {
        note(worker).await;
    }
    let duplicates = absorbed.load(Ordering::Relaxed);
    let report = Report { workers_killed, apis_killed, accepting, working, deciding, duplicates };
    println!(
        "seed {seed}: {} of {updates} applied exactly once; sent in {sending:.0?}, all checked after {:.0?}; {} posts \
         repeated, {} of them accepted before; {report}",
        sent.ids.len(),
        began.elapsed(),
        load.repeated.load(Ordering::Relaxed),
        load.replayed.load(Ordering::Relaxed),
    );
}

/// Which seeds: `SCOREWIRE_FAULT_SEEDS=first..end`, else twenty, or one of `make test`.
fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("SCOREWIRE_FAULT_SEEDS") else { return 0..full_or(20, 1) };
    let bounds = range.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    let (first, end) = bounds.expect("SCOREWIRE_FAULT_SEEDS is like 0..20");
    first..end
}

/// `SCOREWIRE_FAULT_FSYNC=everysec` for Redis as most people run it.
fn fsync() -> &'static str {
    match std::env::var("SCOREWIRE_FAULT_FSYNC").as_deref() {
        Ok("everysec") => "everysec",
        Ok("always") | Err(_) => "always",
        Ok(other) => panic!("SCOREWIRE_FAULT_FSYNC is {other}: set always or everysec"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_update_is_applied_exactly_once_whatever_is_killed() {
    for seed in seeds() {
        run(seed).await;
    }
}
