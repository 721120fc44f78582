//! The public API as a client sees it: create a user, post an update, and be patient with a busy server.
//!
//! Both requests are safe to repeat: creating the same user again changes nothing, and an update carries a key. That is
//! why a request whose answer was lost is simply sent again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url, redirect};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::gate::Gate;
use super::plan::Update;
use super::problem::{ClientError, Refusal};
use super::progress::Progress;
use super::retry::{BUSY_PATIENCE, FAULT_PATIENCE, Verdict, back_off, judge};
use super::statsbomb::Player;

/// Longest wait for a connection and for a whole answer.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// A connection pool to one Scorewire server.
pub(crate) struct Client {
    http: reqwest::Client,
    /// The target, to which the paths of the API are added.
    base: String,
    /// One "later" from the server holds back all connections.
    gate: Gate,
    laters: AtomicU64,
    faults: AtomicU64,
    /// Where to say that requests are waiting.
    progress: Option<Progress>,
}

/// How often the server or the network made the run wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Answers 429 and 503.
    pub(crate) laters: u64,
    /// Requests without an answer, and answers like 500 and 502.
    pub(crate) faults: u64,
}

#[derive(Serialize)]
struct NewUser<'a> {
    id: i64,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewUpdate {
    user_id: i64,
    increment: i32,
}

impl Client {
    /// Prepares a client; nothing is sent yet. `target` has no slash at its end, and `token` is the JWT itself,
    /// without the word Bearer.
    pub(crate) fn new(target: &str, token: &str) -> Result<Self, ClientError> {
        let url = Url::parse(target).map_err(|cause| ClientError::Target { target: target.to_owned(), cause })?;
        if url.scheme() != "http" {
            return Err(ClientError::Scheme { target: target.to_owned() });
        }
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .user_agent(concat!("scorewire-replay/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .redirect(redirect::Policy::none())
            .tls_certs_only([])
            .connect_timeout(TIMEOUTS.0)
            .timeout(TIMEOUTS.1)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self {
            http,
            base: target.to_owned(),
            gate: Gate::open(),
            laters: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            progress: None,
        })
    }

    /// The same client, telling the reader of each wait.
    pub(crate) fn telling(self, progress: &Progress) -> Self {
        Self { progress: Some(progress.clone()), ..self }
    }

    /// Makes sure that the player stands on the board, with score 0 if new.
    pub(crate) async fn ensure_user(&self, player: &Player) -> Result<(), ClientError> {
        let body = NewUser { id: player.id, name: &player.name };
        let doing = || format!("creating user {} ({})", player.id, player.name);
        let answer = self.post("/users", None, &body, doing).await?;
        match answer.status().as_u16() {
            200 | 201 => Ok(()),
            status => Err(ClientError::Unexpected { doing: doing(), status }),
        }
    }

    /// Posts one update and tells whether the server had seen its key before.
    pub(crate) async fn post_update(&self, update: &Update) -> Result<bool, ClientError> {
        let body = NewUpdate { user_id: update.player.id, increment: update.points };
        let doing = || format!("posting update {}", update.key);
        let answer = self.post("/scores/update", Some(&update.key), &body, doing).await?;
        match answer.status().as_u16() {
            202 => Ok(answer.headers().get("idempotency-replayed").is_some_and(|value| value == "true")),
            status => Err(ClientError::Unexpected { doing: doing(), status }),
        }
    }

    /// How often requests had to wait so far.
    pub(crate) fn waits(&self) -> Waits {
        Waits { laters: self.laters.load(Ordering::Relaxed), faults: self.faults.load(Ordering::Relaxed) }
    }

    fn tell(&self, reason: impl Fn() -> String) {
        if let Some(progress) = &self.progress {
            progress.waiting(&reason());
        }
    }

    /// Sends the request until it succeeds, is refused, or patience ends.
    async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        body: &impl Serialize,
        doing: impl Fn() -> String,
    ) -> Result<Response, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut failing: Option<(Instant, u32)> = None;
        let mut busy = Duration::ZERO;
        loop {
            self.gate.pass().await;
            let mut request = self.http.post(&url).json(body);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let fault = match request.send().await {
                Ok(answer) => match judge_answer(&answer) {
                    Verdict::Done => return Ok(answer),
                    Verdict::Refused => return Err(Refusal::read(doing(), answer).await.into()),
                    Verdict::Later(wait) => {
                        self.laters.fetch_add(1, Ordering::Relaxed);
                        failing = None;
                        busy += wait;
                        if busy > BUSY_PATIENCE {
                            return Err(ClientError::Busy { doing: doing(), wait_s: wait.as_secs() });
                        }
                        self.gate.hold(wait);
                        self.tell(|| format!("the server is busy; going on in {wait:?}"));
                        continue;
                    }
                    Verdict::Fault => format!("the server answered {}", answer.status()),
                },
                Err(error) if error.is_builder() => return Err(ClientError::Setup(error)),
                Err(error) => innermost(&error),
            };
            self.faults.fetch_add(1, Ordering::Relaxed);
            let (since, retries) = failing.unwrap_or_else(|| (Instant::now(), 0));
            let wait = back_off(retries, rand::random());
            if since.elapsed() + wait > FAULT_PATIENCE {
                return Err(ClientError::Unreachable { doing: doing(), target: self.base.clone(), fault });
            }
            failing = Some((since, retries + 1));
            self.tell(|| format!("{fault}; trying again"));
            sleep(wait).await;
        }
    }
}

fn judge_answer(answer: &Response) -> Verdict {
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    judge(answer.status().as_u16(), retry_after)
}

/// The cause that a reader can act on ("connection refused") rather than the layers around it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
