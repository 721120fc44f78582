//! What tests share: a server on a free port, a typed client, a stream reader, and waiting with a deadline.

mod app;
mod deployment;
mod follower;
mod ledger;
mod nginx;
mod poison;
mod process;
mod relay;
mod socket;
mod stream;

pub(crate) use app::{Scores, TestApp};
pub(crate) use deployment::{Deployment, Storage};
pub(crate) use follower::Follower;
pub(crate) use ledger::LedgerConnection;
pub(crate) use nginx::Nginx;
pub(crate) use poison::Books;
pub(crate) use process::{ServerProcess, command, limited_command};
pub(crate) use relay::Relay;
pub(crate) use socket::{Received, Socket};
pub(crate) use stream::{Envelopes, SseEvent, Stream};

use std::future::Future;
use std::time::Duration;

use scorewire::http::auth::{Scope, Tokens};
use scorewire_core::settings::{Overrides, Settings, SettingsFile};

/// How long anything may take before a test gives up on it; generous, since CI machines are slow and shared.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `full` for the counts that docs/RELIABILITY.md reports; anything else for the reduced ones of `make test`.
const VARIABLE: &str = "SCOREWIRE_FAULTS";

/// The first when all counts are asked for, else the second.
pub(crate) fn full_or<T>(full: T, reduced: T) -> T {
    if std::env::var(VARIABLE).is_ok_and(|counts| counts == "full") { full } else { reduced }
}

/// Waits for a future, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    // Every test that starts anything comes by here before it makes an HTTP client, which needs one.
    scorewire_core::tls::install_provider();
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Asks again and again until there is an answer, but not for ever.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    within(what, async {
        loop {
            beat.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
    .await
}

/// A token that may do everything on a server with this secret.
pub(crate) fn admin_token(secret: &str) -> String {
    let settings = Settings::resolve(Overrides::default(), &SettingsFile::default()).expect("defaults");
    let expires = std::time::SystemTime::now() + Duration::from_secs(3_600);
    let tokens = Tokens::new(secret, &settings).expect("a long secret");
    tokens.issue("tester", &[Scope::Admin], expires).expect("a token")
}
