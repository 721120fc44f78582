//! Updates per second, from accepted over applied to seen, beside bare SQLite.

use std::time::Duration;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::floor_sqlite::BareSqlite;
use crate::load::{Load, USERS, check_scores, create_users, load};
use crate::memory;
use crate::process::{Scorewire, WorkDir, own_cpu_us};

/// Rows in a transaction of the floor: as many as there are updates in flight.
const FLOOR_BATCH: usize = 64;
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Round {
    accepted: f64,
    seen: f64,
    floor: f64,
    server_cpu: f64,
    generator_cpu: f64,
    floor_cpu: f64,
}

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Vec<Section>> {
    let server = Scorewire::start(plan, "writes").await?;
    let floor_dir = WorkDir::create(plan, "floor")?;
    let mut floor = BareSqlite::create(floor_dir.path()).await?;
    create_users(server.address(), &server.token).await?;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let first = round * plan.updates;
        let updates = Load { connections: plan.connections, keyed: plan.keyed, first, updates: plan.updates };
        let (server_before, before) = (server.running.cpu_us()?, own_cpu_us()?);
        let rates = load(&[server.address()], &server.token, updates).await?;
        let (server_after, after) = (server.running.cpu_us()?, own_cpu_us()?);
        check_scores(server.address(), first + plan.updates).await?;
        let floor_before = own_cpu_us()?;
        let floor = floor.record(plan.updates, FLOOR_BATCH, USERS).await?;
        rounds.push(Round {
            accepted: rates.accepted,
            seen: rates.seen,
            floor,
            server_cpu: server_after - server_before,
            generator_cpu: after - before,
            floor_cpu: own_cpu_us()? - floor_before,
        });
    }
    tokio::time::sleep(SETTLE).await;
    let memory = server.running.memory()?;
    server.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let updates = plan.updates as f64;
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let cpu = |figure: fn(&Round) -> f64| rounds.iter().map(|r| figure(r) / updates).collect::<Vec<_>>();
    let writes = Section {
        title: "Writes".into(),
        method: format!(
            "{} keep-alive connections post {} updates a round{} over {USERS} users, {} rounds; a viewer reads the event \
             stream throughout. *Seen* ends when the increments it was told of add up to what was posted; the scores \
             were checked after every round. The floor records as many rows in the same way on the same disk between \
             the rounds: one SQLite file, {FLOOR_BATCH} rows a transaction, `synchronous=FULL`, no queue, no HTTP, \
             no viewers.",
            plan.connections,
            plan.updates,
            if plan.keyed { ", each with an Idempotency-Key," } else { "" },
            plan.rounds,
        ),
        figures: vec![
            Figure::new("accepted (202 received), updates/s", 0, each(|r| r.accepted)),
            Figure::new("accepted, applied and seen, updates/s", 0, each(|r| r.seen)).aiming(Aim::AtLeast(8_000.0)),
            Figure::new("floor: bare SQLite group commit, rows/s", 0, each(|r| r.floor)),
            Figure::new("seen ÷ floor", 2, each(|r| r.seen / r.floor)),
            Figure::new("server CPU per update, µs", 1, cpu(|r| r.server_cpu)),
            Figure::new("generator and viewer CPU per update, µs", 1, cpu(|r| r.generator_cpu)),
            Figure::new("floor CPU per row, µs", 1, cpu(|r| r.floor_cpu)),
        ],
    };
    let after = Section {
        title: "Memory after the writes".into(),
        method: format!("The same server, {} s after the last round.", SETTLE.as_secs()),
        figures: memory::figures(&[memory]),
    };
    Ok(vec![writes, after])
}
