//! Where a test's server keeps its data: the same tests run on both deployments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use scorewire_core::ledger::PostgresLedger;
use scorewire_core::settings::Overrides;
use scorewire_core::settings::units::{Maybe, Secret};
use tempfile::TempDir;

use crate::postgres_server::PrivatePostgres;
use crate::redis_server::PrivateRedis;

/// Names the deployment that servers of a test run use: `embedded` (also when it is not set) or `distributed`.
const VARIABLE: &str = "SCOREWIRE_TEST_DEPLOYMENT";
/// Signs tokens where all processes need the same secret.
const SHARED_SECRET: &str = "a secret that all processes of a test share";

/// How a server is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// Files in one directory.
    Embedded,
    /// PostgreSQL and Redis.
    Distributed,
}

impl Deployment {
    /// The one this test run is about.
    pub(crate) fn of_this_run() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Ok("distributed") => Self::Distributed,
            Ok("embedded") | Err(_) => Self::Embedded,
            Ok(other) => panic!("{VARIABLE} is {other}: set embedded or distributed"),
        }
    }
}

/// Storage of one test, that outlives its servers.
pub(crate) struct Storage {
    pub(crate) dir: TempDir,
    shared: Option<Shared>,
}

/// A database and a part of the keys that no other test uses.
struct Shared {
    database: String,
    redis: String,
    prefix: String,
    _servers: (Arc<PrivatePostgres>, Arc<PrivateRedis>),
}

impl Storage {
    /// Nothing stored yet.
    pub(crate) async fn empty(deployment: Deployment) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let shared = match deployment {
            Deployment::Embedded => None,
            Deployment::Distributed => Some(Shared::empty().await),
        };
        Self { dir, shared }
    }

    /// Files, in a directory of the test's choice.
    pub(crate) const fn in_dir(dir: TempDir) -> Self {
        Self { dir, shared: None }
    }

    /// The URL of the database, if there is one.
    pub(crate) fn database(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| shared.database.as_str())
    }

    /// Settings that lead to it.
    pub(crate) fn overrides(&self) -> Overrides {
        let data_dir = Some(self.dir.path().join("data"));
        let Some(shared) = &self.shared else { return Overrides { data_dir, ..Overrides::default() } };
        let secret = |text: &str| Some(Maybe(Some(Secret(text.to_owned()))));
        Overrides {
            data_dir,
            database_url: secret(&shared.database),
            redis_url: secret(&shared.redis),
            redis_prefix: Some(shared.prefix.clone()),
            jwt_secret: secret(SHARED_SECRET),
            ..Overrides::default()
        }
    }
}

impl Shared {
    async fn empty() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (postgres, redis) = (PrivatePostgres::shared().await, PrivateRedis::shared());
        let database = postgres.fresh_database().await;
        PostgresLedger::migrate(&database).await.expect("migrated");
        let prefix = format!("app-{}:", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { database, redis: redis.url(), prefix, _servers: (postgres, redis) }
    }
}
