//! Senders that post updates at a pace, each until it is accepted, through whichever API process answers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Fleet;
use crate::support::DEADLINE;

const SENDERS: usize = 48;
const BEAT: Duration = Duration::from_millis(10);

/// What is sent, and what came of it.
pub(crate) struct Load {
    updates: usize,
    per_second: u64,
    users: i64,
    /// What the keys begin with; `None`: the updates have no keys, and every refusal fails the test.
    keys: Option<String>,
    next: AtomicUsize,
    due: Semaphore,
    pub(crate) accepted: AtomicU64,
    /// Posts that were not answered, or with 503, and were repeated.
    pub(crate) repeated: AtomicU64,
    /// Posts whose key turned out to be accepted already.
    pub(crate) replayed: AtomicU64,
    ids: Mutex<Vec<String>>,
}

/// What was accepted.
pub(crate) struct Sent {
    pub(crate) ids: Vec<String>,
    /// The sum of each user's increments.
    pub(crate) sums: HashMap<i64, i64>,
}

impl Load {
    /// So many updates of users 1 to `users`, at a pace.
    pub(crate) fn keyed(updates: usize, per_second: u64, users: i64, keys: impl Into<String>) -> Self {
        Self { keys: Some(keys.into()), ..Self::keyless(updates, per_second, users) }
    }

    /// The same without keys: a post must be accepted at once.
    pub(crate) fn keyless(updates: usize, per_second: u64, users: i64) -> Self {
        Self {
            updates,
            per_second,
            users,
            keys: None,
            next: AtomicUsize::new(0),
            due: Semaphore::new(0),
            accepted: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            ids: Mutex::default(),
        }
    }

    /// How long sending takes when nothing is in the way.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs_f64(self.updates as f64 / self.per_second as f64)
    }

    /// Sends everything.
    pub(crate) async fn send(&self, fleet: &Fleet) -> Sent {
        let senders = futures_util::future::join_all((0..SENDERS).map(|sender| self.work(fleet, sender)));
        tokio::select! {
            _ = senders => {}
            () = self.pace() => {}
        }
        let ids = self.ids.lock().expect("a lock").clone();
        assert_eq!(ids.len(), self.updates);
        let mut sums = HashMap::new();
        for n in 0..self.updates {
            let (user, increment) = self.update(n);
            *sums.entry(user).or_default() += increment;
        }
        Sent { ids, sums }
    }

    fn update(&self, n: usize) -> (i64, i64) {
        let n = i64::try_from(n).expect("a small number");
        (n % self.users + 1, n % 7 + 1)
    }

    async fn pace(&self) {
        let began = tokio::time::Instant::now();
        let mut beat = tokio::time::interval(BEAT);
        let mut released = 0;
        loop {
            beat.tick().await;
            let due = (began.elapsed().as_millis() * u128::from(self.per_second) / 1_000) as usize;
            self.due.add_permits(due - released);
            released = due;
        }
    }

    async fn work(&self, fleet: &Fleet, sender: usize) {
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.updates {
                return;
            }
            self.due.acquire().await.expect("open").forget();
            let posting = self.post_until_accepted(fleet, sender, n);
            let id = tokio::time::timeout(DEADLINE * 2, posting).await.expect("an update is accepted in time");
            self.ids.lock().expect("a lock").push(id);
        }
    }

    /// An unanswered post may or may not have been accepted: the same key makes asking again safe.
    async fn post_until_accepted(&self, fleet: &Fleet, sender: usize, n: usize) -> String {
        let mut beat = tokio::time::interval(BEAT * 5);
        for attempt in 0.. {
            beat.tick().await;
            if let Some(id) = self.post(fleet, (sender + attempt) % fleet.apis.len(), n).await {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                return id;
            }
            assert!(self.keys.is_some(), "an update without a key is accepted at once");
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        unreachable!("it is accepted some day")
    }

    async fn post(&self, fleet: &Fleet, api: usize, n: usize) -> Option<String> {
        let (user, increment) = self.update(n);
        let mut request = fleet.request(api, Method::POST, "/scores/update");
        if let Some(keys) = &self.keys {
            request = request.header("Idempotency-Key", format!("{keys}-{n}"));
        }
        let answer = request.json(&json!({ "userId": user, "increment": increment })).send().await.ok()?;
        match answer.status() {
            StatusCode::ACCEPTED => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers().contains_key(header::RETRY_AFTER), "a 503 says when to try again");
                return None;
            }
            other => panic!("refused with {other}: {}", answer.text().await.unwrap_or_default()),
        }
        if answer.headers().contains_key("idempotency-replayed") {
            self.replayed.fetch_add(1, Ordering::Relaxed);
        }
        let body: Value = answer.json().await.ok()?;
        Some(body["id"].as_str().expect("an id").to_owned())
    }
}
