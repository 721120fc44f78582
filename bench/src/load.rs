//! Posts updates over many connections and watches until all of them were seen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use crate::floor_sqlite::per_second;
use crate::viewer::Viewer;
use crate::wire::{Connection, Poster, get};

/// Users beside those of the sample, with ids from [`FIRST_USER`] on.
pub(crate) const USERS: usize = 1_000;
pub(crate) const FIRST_USER: usize = 1_001;
/// A round that takes longer has lost an update.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The n-th update of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nth(pub(crate) usize);

impl Nth {
    pub(crate) fn user(self) -> usize {
        FIRST_USER + self.0 % USERS
    }

    pub(crate) fn increment(self) -> usize {
        1 + self.0 * 7 % 100
    }
}

/// What is posted, and over how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Each update carries an `Idempotency-Key`.
    pub(crate) keyed: bool,
    /// Number of the first update.
    pub(crate) first: usize,
    pub(crate) updates: usize,
}

impl Load {
    /// The points of all its updates.
    pub(crate) fn points(&self) -> usize {
        (self.first..self.first + self.updates).map(|n| Nth(n).increment()).sum()
    }
}

/// Updates per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Until the last was answered 202.
    pub(crate) accepted: f64,
    /// Until a viewer saw the last.
    pub(crate) seen: f64,
}

/// Creates the users that updates go to.
pub(crate) async fn create_users(address: SocketAddr, token: &str) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(FIRST_USER));
    let poster = Poster::new("/users", token);
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (next, poster) = (Arc::clone(&next), poster.clone());
        let mut connection = Connection::open(address).await?;
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

/// Posts to all servers in turn while a viewer watches the first.
pub(crate) async fn load(servers: &[SocketAddr], token: &str, load: Load) -> anyhow::Result<Rates> {
    let first = *servers.first().context("no server")?;
    let mut connections = Vec::new();
    for address in servers.iter().cycle().take(load.connections) {
        connections.push(Connection::open(*address).await?);
    }
    let posted = load.points();
    let mut viewer = Viewer::open(first).await?;
    let next = Arc::new(AtomicUsize::new(load.first));
    let began = Instant::now();

    let mut posting = JoinSet::new();
    for connection in connections {
        let poster = Poster::new("/scores/update", token);
        posting.spawn(post(connection, poster, Arc::clone(&next), load.first + load.updates, load.keyed));
    }
    let seeing = tokio::spawn(async move {
        let mut sum = 0;
        while sum < i64::try_from(posted)? {
            viewer.next(|seen, _| sum += seen.increment).await?;
        }
        anyhow::Ok(sum)
    });
    let both = async {
        while let Some(task) = posting.join_next().await {
            task??;
        }
        let accepted = per_second(load.updates, began);
        let sum = seeing.await??;
        if sum != i64::try_from(posted)? {
            bail!("the viewer saw {sum} points instead of {posted}");
        }
        anyhow::Ok(accepted)
    };
    let accepted = tokio::time::timeout(DEADLINE, both).await.context("not every update was seen")??;
    Ok(Rates { accepted, seen: per_second(load.updates, began) })
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
pub(crate) async fn check_scores(address: SocketAddr, posted: usize) -> anyhow::Result<()> {
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
