//! Updates per second, from accepted over applied to seen, beside bare SQLite.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::floor_sqlite::{BareSqlite, per_second};
use crate::memory;
use crate::process::{Scorewire, WorkDir, own_cpu_us};
use crate::viewer::Viewer;
use crate::wire::{Connection, Poster, get};

/// Users beside those of the sample, with ids from [`FIRST_USER`] on.
pub(crate) const USERS: usize = 1_000;
pub(crate) const FIRST_USER: usize = 1_001;
/// Rows in a transaction of the floor: as many as there are updates in flight.
const FLOOR_BATCH: usize = 64;
/// A round that takes longer has lost an update.
const DEADLINE: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(2);

/// The n-th update of a run.
#[derive(Clone, Copy, Debug)]
struct Nth(usize);

impl Nth {
    fn user(self) -> usize {
        FIRST_USER + self.0 % USERS
    }

    fn increment(self) -> usize {
        1 + self.0 * 7 % 100
    }
}

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
    create_users(&server).await?;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let result = load(&server, plan, round * plan.updates, plan.updates).await?;
        check_scores(server.address(), (round + 1) * plan.updates).await?;
        let before = own_cpu_us()?;
        let floor = floor.record(plan.updates, FLOOR_BATCH, USERS).await?;
        rounds.push(Round { floor, floor_cpu: own_cpu_us()? - before, ..result });
    }
    tokio::time::sleep(SETTLE).await;
    let memory = server.running.memory()?;
    server.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let updates = plan.updates as f64;
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let cpu = |figure: fn(&Round) -> f64| rounds.iter().map(|r| figure(r) / updates).collect::<Vec<_>>();
    let writes = Section {
        title: "Writes",
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
        title: "Memory after the writes",
        method: format!("The same server, {} s after the last round.", SETTLE.as_secs()),
        figures: memory::figures(&[memory]),
    };
    Ok(vec![writes, after])
}

/// Creates the users that updates go to.
pub(crate) async fn create_users(server: &Scorewire) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(FIRST_USER));
    let poster = Poster::new("/users", &server.token);
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (next, poster) = (Arc::clone(&next), poster.clone());
        let mut connection = Connection::open(server.address()).await?;
        tasks.spawn(async move {
            let mut request = Vec::new();
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= FIRST_USER + USERS {
                    return anyhow::Ok(());
                }
                poster.build(&mut request, &format!("{{\"id\":{id},\"name\":\"Player {id}\"}}"), None);
                connection.exchange(&request).await?.expect_status(201)?;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

async fn load(server: &Scorewire, plan: &Plan, first: usize, updates: usize) -> anyhow::Result<Round> {
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(Connection::open(server.address()).await?);
    }
    let posted: usize = (first..first + updates).map(|n| Nth(n).increment()).sum();
    let mut viewer = Viewer::open(server.address()).await?;
    let (server_before, own_before) = (server.running.cpu_us()?, own_cpu_us()?);
    let next = Arc::new(AtomicUsize::new(first));
    let began = Instant::now();

    let mut posting = JoinSet::new();
    for connection in connections {
        let poster = Poster::new("/scores/update", &server.token);
        posting.spawn(post(connection, poster, Arc::clone(&next), first + updates, plan.keyed));
    }
    let seeing = tokio::spawn(async move {
        let mut sum = 0;
        while sum < i64::try_from(posted)? {
            viewer.next(|seen, _| sum += seen.increment).await?;
        }
        anyhow::Ok((sum, Instant::now()))
    });
    let both = async {
        while let Some(task) = posting.join_next().await {
            task??;
        }
        let accepted = per_second(updates, began);
        let (sum, _) = seeing.await??;
        if sum != i64::try_from(posted)? {
            bail!("the viewer saw {sum} points instead of {posted}");
        }
        anyhow::Ok(accepted)
    };
    let accepted = tokio::time::timeout(DEADLINE, both).await.context("not every update was seen")??;
    Ok(Round {
        accepted,
        seen: per_second(updates, began),
        floor: f64::NAN,
        server_cpu: server.running.cpu_us()? - server_before,
        generator_cpu: own_cpu_us()? - own_before,
        floor_cpu: f64::NAN,
    })
}

async fn post(
    mut connection: Connection,
    poster: Poster,
    next: Arc<AtomicUsize>,
    end: usize,
    keyed: bool,
) -> anyhow::Result<()> {
    let mut request = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= end {
            return Ok(());
        }
        let body = format!("{{\"userId\":{},\"increment\":{}}}", Nth(n).user(), Nth(n).increment());
        let key = keyed.then(|| format!("bench-{n}"));
        poster.build(&mut request, &body, key.as_deref());
        connection.exchange(&request).await?.expect_status(202)?;
    }
}

/// Fails unless the board shows exactly what the first `posted` updates add up to.
async fn check_scores(address: SocketAddr, posted: usize) -> anyhow::Result<()> {
    let mut expected: HashMap<usize, usize> = HashMap::new();
    for n in (0..posted).map(Nth) {
        *expected.entry(n.user()).or_default() += n.increment();
    }
    let mut connection = Connection::open(address).await?;
    for offset in (0..).step_by(100) {
        let answer = connection.exchange(&get(&format!("/scores?limit=100&offset={offset}"))).await?;
        answer.expect_status(200)?;
        let rows = rows(std::str::from_utf8(answer.body)?).context("a page of scores that can not be read")?;
        if rows.is_empty() {
            break;
        }
        for (user, score) in rows.into_iter().filter(|(user, _)| *user >= FIRST_USER) {
            let expected = expected.remove(&user);
            if expected != Some(score) {
                bail!("user {user} has {score} points instead of {expected:?}");
            }
        }
    }
    if expected.is_empty() { Ok(()) } else { bail!("{} users are missing on the board", expected.len()) }
}

/// The users and scores of a page.
fn rows(page: &str) -> Option<Vec<(usize, usize)>> {
    let field = |row: &str, name: &str| {
        let (_, rest) = row.split_once(name)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let rows = page.split('{').skip(1);
    rows.map(|row| Some((field(row, "\"userId\":")?, field(row, "\"score\":")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_scores_is_read() {
        let page = r#"[{"rank":1,"userId":1,"user":"Alice","score":1500},{"rank":2,"userId":2,"user":"Bo","score":7}]"#;
        assert_eq!(rows(page), Some(vec![(1, 1500), (2, 7)]));
        assert_eq!(rows("[]"), Some(vec![]));
    }
}
