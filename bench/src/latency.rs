//! Time from sending an update to a viewer reading it, on a server that has little to do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::Plan;
use crate::figures::{Aim, Figure, Section, quantile};
use crate::floor_sqlite::BareSqlite;
use crate::load::{FIRST_USER, USERS, create_users};
use crate::process::{Scorewire, WorkDir};
use crate::viewer::Viewer;
use crate::wire::{Connection, Poster};

pub(crate) const PER_SECOND: usize = 50;
/// Enough that none is ever waited for.
const CONNECTIONS: usize = 8;
const FLOOR_SAMPLES: usize = 200;
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Section> {
    let server = Scorewire::start(plan, "latency").await?;
    let floor_dir = WorkDir::create(plan, "floor")?;
    let mut floor = BareSqlite::create(floor_dir.path()).await?;
    create_users(server.address(), &server.token).await?;
    tokio::time::sleep(SETTLE).await;
    let (mut rounds, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.latency_rounds {
        floors.push(floor_round(&mut floor).await?);
        rounds.push(round(server.address(), &server.token, plan.latency_seconds).await?);
    }
    server.stop().await?;
    let ratio = rounds.iter().zip(&floors).map(|(round, floor)| quantile(round, 0.5) / quantile(floor, 0.5));
    Ok(Section {
        title: "Latency".into(),
        method: format!(
            "{PER_SECOND} updates a second for {} s on an otherwise idle server, {} rounds, sent on schedule whether or \
             not earlier ones have arrived; from right before the POST is sent to the `update` event being read by a \
             viewer. The floor is what durability alone costs at the same pace: two bare SQLite commits of one row, \
             one after the other (one to accept, one to apply).",
            plan.latency_seconds, plan.latency_rounds
        ),
        figures: figures(&rounds, None)
            .into_iter()
            .chain([
                Figure::new("floor: two durable commits, p50, ms", 2, of(&floors, 0.5)),
                Figure::new("floor: two durable commits, p99, ms", 2, of(&floors, 0.99)),
                Figure::new("p50 ÷ floor p50", 2, ratio),
            ])
            .collect(),
    })
}

/// How long updates took, of rounds of sorted milliseconds.
pub(crate) fn figures(rounds: &[Vec<f64>], p99: Option<Aim>) -> Vec<Figure> {
    vec![
        Figure::new("p50, ms", 2, of(rounds, 0.5)).aiming(Aim::AtMost(5.0)),
        Figure::new("p90, ms", 2, of(rounds, 0.9)),
        Figure { aim: p99, ..Figure::new("p99, ms", 2, of(rounds, 0.99)) },
        Figure::new("max, ms", 2, of(rounds, 1.0)),
    ]
}

fn of(rounds: &[Vec<f64>], share: f64) -> Vec<f64> {
    rounds.iter().map(|round| quantile(round, share)).collect()
}

fn schedule() -> tokio::time::Interval {
    let mut schedule = tokio::time::interval(Duration::from_secs(1) / u32::try_from(PER_SECOND).unwrap_or(1));
    schedule.set_missed_tick_behavior(MissedTickBehavior::Burst);
    schedule
}

async fn floor_round(floor: &mut BareSqlite) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    let mut schedule = schedule();
    for _ in 0..FLOOR_SAMPLES {
        schedule.tick().await;
        let began = Instant::now();
        floor.record(1, 1, USERS).await?;
        floor.record(1, 1, USERS).await?;
        samples.push(began.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}

/// Posts for so many seconds; returns sorted milliseconds.
pub(crate) async fn round(address: SocketAddr, token: &str, seconds: usize) -> anyhow::Result<Vec<f64>> {
    let updates = seconds * PER_SECOND;
    let mut viewer = Viewer::open(address).await?;
    let mut posting = JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let (sender, mut users) = mpsc::unbounded_channel::<usize>();
        senders.push(sender);
        let mut connection = Connection::open(address).await?;
        let poster = Poster::new("/scores/update", token);
        posting.spawn(async move {
            let mut request = Vec::new();
            while let Some(user) = users.recv().await {
                poster.build(&mut request, &format!("{{\"userId\":{user},\"increment\":1}}"), None);
                connection.exchange(&request).await?.expect_status(202)?;
            }
            anyhow::Ok(())
        });
    }
    let seeing = tokio::spawn(async move {
        let mut seen: HashMap<i64, Vec<Instant>> = HashMap::new();
        let mut count = 0;
        while count < updates {
            viewer
                .next(|update, at| {
                    // Updates of one user that came together count as both seen now.
                    for _ in 0..update.increment {
                        seen.entry(update.user).or_default().push(at);
                        count += 1;
                    }
                })
                .await?;
        }
        anyhow::Ok(seen)
    });
    let mut sent = Vec::with_capacity(updates);
    let mut schedule = schedule();
    for n in 0..updates {
        schedule.tick().await;
        let user = FIRST_USER + n % USERS;
        sent.push((user, Instant::now()));
        senders[n % CONNECTIONS].send(user)?;
    }
    drop(senders);
    while let Some(task) = posting.join_next().await {
        task??;
    }
    let mut seen =
        tokio::time::timeout(Duration::from_secs(20), seeing).await.context("not every update was seen")???;
    let mut samples = Vec::with_capacity(updates);
    // Latest first, so that each takes its own from the end.
    for (user, sent) in sent.into_iter().rev() {
        let at = seen.get_mut(&i64::try_from(user)?).and_then(Vec::pop).context("an update that nobody sent")?;
        samples.push((at - sent).as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}
