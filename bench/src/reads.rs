//! `GET /scores` per second, beside bare hyper that answers the same bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::floor_sqlite::per_second;
use crate::process::{Running, Scorewire, WorkDir, own_cpu_us};
use crate::wire::{Connection, get};

const PATH: &str = "/scores";
/// Runs before the first round count for nothing.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Half {
    per_second: f64,
    server_cpu: f64,
    generator_cpu: f64,
    /// Share of one core the generator used.
    generator_busy: f64,
}

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Section> {
    let server = Scorewire::start(plan, "reads").await?;
    let floor_dir = WorkDir::create(plan, "floor")?;
    let floor = start_floor(server.address(), &floor_dir).await?;
    let half = Duration::from_secs(plan.read_seconds);
    load(&server.running, plan.connections, WARM_UP).await?;
    load(&floor, plan.connections, WARM_UP).await?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds
            .push((load(&server.running, plan.connections, half).await?, load(&floor, plan.connections, half).await?));
    }
    floor.stop().await?;
    server.stop().await?;
    let each = |figure: fn(&(Half, Half)) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    Ok(Section {
        title: "Reads".into(),
        method: format!(
            "`GET {PATH}` over {} keep-alive connections, {} s each in turn, {} rounds. The floor is hyper alone in a \
             process of its own, answering the same bytes with the same content type, ETag and cache control, ready \
             made. The generator is one thread; its share of a core tells how close it was to being the limit.",
            plan.connections, plan.read_seconds, plan.rounds
        ),
        figures: vec![
            Figure::new("Scorewire, requests/s", 0, each(|(server, _)| server.per_second)),
            Figure::new("floor: bare hyper, requests/s", 0, each(|(_, floor)| floor.per_second)),
            Figure::new("Scorewire ÷ floor, requests/s", 2, each(|(s, floor)| s.per_second / floor.per_second))
                .aiming(Aim::AtLeast(0.8)),
            Figure::new("Scorewire CPU per request, µs", 2, each(|(server, _)| server.server_cpu)),
            Figure::new("floor CPU per request, µs", 2, each(|(_, floor)| floor.server_cpu)),
            Figure::new("floor ÷ Scorewire, CPU per request", 2, each(|(s, floor)| floor.server_cpu / s.server_cpu)),
            Figure::new("generator CPU per request, µs", 2, each(|(server, _)| server.generator_cpu)),
            Figure::new("generator's share of a core, Scorewire", 2, each(|(server, _)| server.generator_busy)),
            Figure::new("generator's share of a core, floor", 2, each(|(_, floor)| floor.generator_busy)),
        ],
    })
}

/// Starts a bare server that answers as Scorewire does now.
async fn start_floor(scorewire: SocketAddr, dir: &WorkDir) -> anyhow::Result<Running> {
    let mut connection = Connection::open(scorewire).await?;
    let answer = connection.exchange(&get(PATH)).await?;
    answer.expect_status(200)?;
    let body = dir.path().join("body");
    std::fs::write(&body, answer.body)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor-server").arg("--body").arg(&body);
    for name in ["content-type", "etag", "cache-control"] {
        command.arg(format!("--{name}")).arg(answer.header(name).context("a header is missing")?);
    }
    Running::start(command, &dir.path().join("log"), "/").await
}

async fn load(server: &Running, connections: usize, time: Duration) -> anyhow::Result<Half> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(server.address).await?);
    }
    let (server_before, own_before) = (server.cpu_us()?, own_cpu_us()?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        tasks.spawn(async move {
            let request = get(PATH);
            let mut count = 0_usize;
            while began.elapsed() < time {
                connection.exchange(&request).await?.expect_status(200)?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(task) = tasks.join_next().await {
        count += task??;
    }
    let wall = began.elapsed().as_secs_f64() * 1e6;
    let own = own_cpu_us()? - own_before;
    let rate = per_second(count, began);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let count = count as f64;
    Ok(Half {
        per_second: rate,
        server_cpu: (server.cpu_us()? - server_before) / count,
        generator_cpu: own / count,
        generator_busy: own / wall,
    })
}
