//! How exactly viewers of a feed are sent its latest message on its beat, and how soon a new value, beside bare timers
//! in a process that does nothing else.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Plan;
use crate::figures::{Aim, Figure, Section, quantile};
use crate::process::Scorewire;
use crate::wire::{Connection, get};

const VIEWERS: usize = 1_000;
const BEAT: Duration = Duration::from_secs(2);
const BEATS: usize = 5;
const ROUNDS: usize = 3;

/// How far intervals between messages are from the beat, in ms, sorted.
struct Round {
    served: Vec<f64>,
    /// From a viewer's first message to its second, while all connect.
    first: Vec<f64>,
    floor: Vec<f64>,
}

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Section> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(plan).await?);
    }
    let figure = |name: &str, of: fn(&Round) -> &Vec<f64>, at: f64| {
        Figure::new(name.to_owned(), 2, rounds.iter().map(|round| quantile(of(round), at)))
    };
    type Part = fn(&Round) -> &Vec<f64>;
    let (served, first, floor): (Part, Part, Part) = (|r| &r.served, |r| &r.first, |r| &r.floor);
    let method = format!(
        "{VIEWERS} viewers of one feed of `scorewire upstreams`, fetched every 500 ms with a new value each time, connect at once over SSE \
         with `?every={}s`: how far each interval between two messages of a viewer is from its beat, over {BEATS} beats; ms. The first interval, \
         which begins while a thousand connect, stands apart. Bare: as many timers in the measuring process, in the same seconds.",
        BEAT.as_secs()
    );
    Ok(Section {
        title: "Beats of a feed".into(),
        method,
        figures: vec![
            figure("off the beat, p50", served, 0.5),
            figure("off the beat, p99", served, 0.99),
            figure("off the beat, greatest", served, 1.0).aiming(Aim::AtMost(100.0)),
            figure("first interval, greatest", first, 1.0),
            figure("bare timers, p99", floor, 0.99),
            figure("bare timers, greatest", floor, 1.0),
        ],
    })
}

async fn round(plan: &Plan) -> anyhow::Result<Round> {
    let (upstreams, source) = upstreams(plan).await?;
    let config = format!(
        "[[feeds]]\nname = \"btc-usd\"\nfetch_every = \"500ms\"\ntransform = '.Data[\"BTC-USD\"].VALUE'\n\
         url = \"{source}/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD\"\n"
    );
    let server = Scorewire::start_with(plan, "feeds", &config).await?;
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        viewers.spawn(follow(server.address()));
    }
    let mut timers = JoinSet::new();
    for _ in 0..VIEWERS {
        timers.spawn(time());
    }
    let (mut served, mut first) = (Vec::new(), Vec::new());
    while let Some(deviations) = viewers.join_next().await {
        let deviations = deviations??;
        first.extend(deviations.first());
        served.extend(&deviations[1..]);
    }
    let mut floor = Vec::new();
    while let Some(deviations) = timers.join_next().await {
        floor.extend(deviations?);
    }
    server.stop().await?;
    drop(upstreams);
    served.sort_by(f64::total_cmp);
    first.sort_by(f64::total_cmp);
    floor.sort_by(f64::total_cmp);
    Ok(Round { served, first, floor })
}

/// The imitated sources, killed when dropped, and their URL.
async fn upstreams(plan: &Plan) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(std::path::absolute(&plan.server)?);
    command.env_clear().args(["upstreams", "--listen", "127.0.0.1:0", "--tick", "0s"]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let first = lines.next_line().await?.context("upstreams said nothing")?;
    let url = first.split_once(" listens on ").context("upstreams did not say where")?.1.to_owned();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, url))
}

/// How far each interval between two messages is from the beat, in ms.
async fn follow(address: SocketAddr) -> anyhow::Result<Vec<f64>> {
    let mut stream = Connection::open(address).await?.into_stream();
    stream.write_all(&get(&format!("/feeds/btc-usd/stream?every={}s", BEAT.as_secs()))).await?;
    let mut received = Vec::new();
    let mut deviations = Vec::new();
    let mut last = None;
    while deviations.len() <= BEATS {
        if stream.read_buf(&mut received).await? == 0 {
            bail!("the server closed a stream: {}", String::from_utf8_lossy(&received));
        }
        if memmem::find(&received, b"\ndata: ").is_some() {
            let now = Instant::now();
            deviations.extend(last.map(|last| off(last, now)));
            last = Some(now);
            received.clear();
        }
    }
    Ok(deviations)
}

async fn time() -> Vec<f64> {
    let mut deviations = Vec::new();
    let (mut due, mut last) = (Instant::now(), Instant::now());
    for _ in 0..BEATS {
        due += BEAT;
        sleep_until(due).await;
        let now = Instant::now();
        deviations.push(off(last, now));
        last = now;
    }
    deviations
}

fn off(last: Instant, now: Instant) -> f64 {
    let due = last + BEAT;
    now.saturating_duration_since(due).max(due.saturating_duration_since(now)).as_secs_f64() * 1e3
}
