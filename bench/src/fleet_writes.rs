//! A fleet's updates per second and its latency, beside the same pipeline without HTTP.

use std::time::Duration;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::fleet::{Fleet, PROCESSES, PerProcess};
use crate::floor_pipeline;
use crate::latency;
use crate::load::{Load, Rates, USERS, check_scores, create_users, load};
use crate::servers::Fsync;

/// Updates before the first round, which count for nothing: connections open, plans and pages are read.
const WARM_UP: usize = 5_000;
const SETTLE: Duration = Duration::from_secs(2);

struct Round {
    product: Rates,
    floor: Rates,
    cpu: PerProcess,
    floor_cpu: PerProcess,
    peaks: PerProcess,
}

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    for fsync in [Fsync::EverySecond, Fsync::Always] {
        sections.extend(measure_with(plan, fsync).await?);
    }
    Ok(sections)
}

async fn measure_with(plan: &Plan, fsync: Fsync) -> anyhow::Result<[Section; 2]> {
    let mut fleet = Fleet::start(plan, fsync).await?;
    let mut next =
        Load { connections: plan.fleet_connections, keyed: plan.keyed, first: 0, updates: plan.fleet_updates };
    fleet.start_apis().await?;
    create_users(fleet.addresses()[0], &fleet.token).await?;
    load(&fleet.addresses(), &fleet.token, Load { updates: WARM_UP, ..next }).await?;
    fleet.stop_apis().await?;
    next.first += WARM_UP;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let before = fleet.cpu_us()?;
        let floor = floor_pipeline::feed(fleet.redis_url(), next).await?;
        let floor_cpu = per_update(before, fleet.cpu_us()?, next.updates);
        next.first += next.updates;
        fleet.start_apis().await?;
        let before = fleet.cpu_us()?;
        let product = load(&fleet.addresses(), &fleet.token, next).await?;
        let cpu = per_update(before, fleet.cpu_us()?, next.updates);
        next.first += next.updates;
        check_scores(fleet.addresses()[0], next.first).await?;
        let peaks = fleet.peaks_mb()?;
        fleet.stop_apis().await?;
        rounds.push(Round { product, floor, cpu, floor_cpu, peaks });
    }
    fleet.start_apis().await?;
    tokio::time::sleep(SETTLE).await;
    let mut latencies = Vec::new();
    for _ in 0..plan.latency_rounds {
        latencies.push(latency::round(fleet.addresses()[0], &fleet.token, plan.latency_seconds).await?);
    }
    fleet.stop().await?;
    Ok([writes(plan, fsync, &rounds), delays(plan, fsync, &latencies)])
}

fn writes(plan: &Plan, fsync: Fsync, rounds: &[Round]) -> Section {
    let each = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let mut figures = vec![
        Figure::new("accepted (202 received), updates/s", 0, each(&|r| r.product.accepted)),
        Figure::new("accepted, applied and seen, updates/s", 0, each(&|r| r.product.seen))
            .aiming(Aim::AtLeast(15_000.0)),
        Figure::new("floor: the pipeline without HTTP, updates/s", 0, each(&|r| r.floor.seen)),
        Figure::new("seen ÷ floor", 2, each(&|r| r.product.seen / r.floor.seen)).aiming(Aim::AtLeast(0.4)),
    ];
    for (index, name) in PROCESSES.into_iter().enumerate() {
        figures.push(Figure::new(format!("CPU per update, µs: {name}"), 1, each(&|r| r.cpu[index])));
    }
    figures.push(Figure::new("CPU per update, µs: all", 1, each(&|r| r.cpu.iter().sum())));
    for (index, name) in PROCESSES.into_iter().enumerate().filter(|(_, name)| *name != "api") {
        figures.push(Figure::new(format!("floor: CPU per update, µs: {name}"), 1, each(&|r| r.floor_cpu[index])));
    }
    for (index, name) in PROCESSES.into_iter().enumerate() {
        figures.push(Figure::new(format!("peak resident memory, MB: {name}"), 1, each(&|r| r.peaks[index])));
    }
    Section {
        title: format!("Writes of a fleet, Redis AOF {}", fsync.setting()).into(),
        method: format!(
            "{} API and {} worker processes on one Redis (`appendfsync {}`) and one PostgreSQL (`fsync` and \
             `synchronous_commit` on, settings as shipped), all of them and the generator on the same cores. {} \
             keep-alive connections post {} updates a round{} over {USERS} users, {} rounds; a viewer of the first \
             API process reads the event stream throughout. *Seen* ends when the increments it was told of add up to \
             what was posted; the scores were checked after every round. The floor takes its turn with every round: \
             the same workers and servers, fed as many updates by as many tasks straight through the library's queue, \
             without API processes and until each was announced. Memory is that of the largest process of its kind; \
             a process of PostgreSQL counts the shared buffers it touched.",
            plan.apis,
            plan.workers,
            fsync.setting(),
            plan.fleet_connections,
            plan.fleet_updates,
            if plan.keyed { ", each with an Idempotency-Key," } else { "" },
            plan.rounds,
        ),
        figures,
    }
}

fn delays(plan: &Plan, fsync: Fsync, rounds: &[Vec<f64>]) -> Section {
    Section {
        title: format!("Latency of a fleet, Redis AOF {}", fsync.setting()).into(),
        method: format!(
            "The same fleet after those rounds: {} updates a second for {} s, {} rounds, sent on schedule; from right \
             before the POST is sent to the `update` event being read by a viewer.",
            latency::PER_SECOND,
            plan.latency_seconds,
            plan.latency_rounds
        ),
        figures: latency::figures(rounds, Some(Aim::AtMost(25.0))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn per_update(before: PerProcess, after: PerProcess, updates: usize) -> PerProcess {
    std::array::from_fn(|kind| (after[kind] - before[kind]) / updates as f64)
}
