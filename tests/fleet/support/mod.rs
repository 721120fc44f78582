//! A whole deployment of one's own: PostgreSQL, Redis, API processes and worker processes, each of which can be killed.

mod load;
mod member;
mod resumer;
mod truth;
mod watcher;

pub(super) use load::{Load, Sent};
pub(super) use member::Member;
pub(super) use resumer::{Resumer, Way};
pub(super) use truth::queue_key;
pub(super) use watcher::Watcher;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use scorewire_core::ledger::PostgresLedger;
use serde_json::{Value, json};
use sqlx::postgres::PgPool;
use tempfile::TempDir;

use crate::postgres_server::PrivatePostgres;
use crate::proxy::Proxy;
use crate::redis_server::PrivateRedis;
use crate::support::{admin_token, eventually};

const SECRET: &str = "a secret that all processes of a fleet share";
/// What every key of the fleet begins with.
pub(super) const PREFIX: &str = "fleet:";

/// Lets time pass: how long a fault lasts is part of it. Nothing is waited for.
pub(super) async fn lasting(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// How many processes of each kind, and their settings.
pub(super) struct Plan {
    pub(super) apis: usize,
    pub(super) workers: usize,
    /// What API processes run: `api`, or `all` to work as well.
    pub(super) role: &'static str,
    /// The settings file of every process.
    pub(super) config: String,
    /// Redis' `appendfsync`.
    pub(super) fsync: &'static str,
    /// Updates that a subject may send.
    pub(super) rate_limit: &'static str,
    /// More arguments of every process.
    pub(super) arguments: Vec<&'static str>,
    pub(super) users: i64,
    /// API processes reach Redis through a proxy whose connections can be cut in silence.
    pub(super) proxied: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            apis: 2,
            workers: 2,
            role: "api",
            config: String::new(),
            fsync: "always",
            rate_limit: "off",
            arguments: Vec::new(),
            users: 50,
            proxied: false,
        }
    }
}

/// The deployment. Its logs are kept when a test fails.
pub(super) struct Fleet {
    pub(super) apis: Vec<Member>,
    pub(super) workers: Vec<Member>,
    pub(super) redis: Arc<PrivateRedis>,
    pub(super) postgres: Arc<PrivatePostgres>,
    pub(super) database: String,
    pub(super) http: reqwest::Client,
    pub(super) token: String,
    proxy: Option<Proxy>,
    dir: TempDir,
}

impl Fleet {
    /// Everything started, with users 1 to `users`.
    pub(super) async fn start(plan: Plan) -> Self {
        let dir = tempfile::Builder::new().prefix("scorewire-fleet-").tempdir().expect("a directory");
        let fsync = plan.fsync;
        let redis = tokio::task::spawn_blocking(move || PrivateRedis::start_with(&["--appendfsync", fsync]))
            .await
            .expect("Redis");
        let postgres = PrivatePostgres::start().await;
        let database = postgres.fresh_database().await;
        PostgresLedger::migrate(&database).await.expect("migrated");
        let url = redis.url();
        let proxy = if plan.proxied { Some(Proxy::to(redis.port).await) } else { None };
        let of_apis = proxy.as_ref().map_or_else(|| url.clone(), |proxy| format!("redis://127.0.0.1:{}", proxy.port));
        let config = dir.path().join("scorewire.toml");
        std::fs::write(&config, &plan.config).expect("a settings file");
        let config = config.to_str().expect("text");
        let shared = [
            "--config",
            config,
            "--database-url",
            &database,
            "--redis-prefix",
            PREFIX,
            "--jwt-secret",
            SECRET,
            "--queue-limit",
            "1000000",
            "--rate-limit-ip",
            "off",
            "--rate-limit-streams",
            "off",
            "--rate-limit-subject",
            plan.rate_limit,
        ];
        let member = |role: &str, n: usize| {
            let redis = if role == "worker" { &url } else { &of_apis };
            let role_flag = ["--role", role, "--redis-url", redis];
            let own = shared.iter().chain(&role_flag).chain(&plan.arguments);
            Member::new(dir.path(), format!("{role}-{}", n + 1), own.map(|argument| (*argument).to_owned()).collect())
        };
        let fleet = Self {
            apis: (0..plan.apis).map(|n| member(plan.role, n)).collect(),
            workers: (0..plan.workers).map(|n| member("worker", n)).collect(),
            redis: Arc::new(redis),
            postgres: Arc::new(postgres),
            database: database.clone(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client"),
            token: admin_token(SECRET),
            proxy,
            dir,
        };
        futures_util::future::join_all(fleet.apis.iter().chain(&fleet.workers).map(Member::start)).await;
        for id in 1..=plan.users {
            fleet.add_user(id).await;
        }
        fleet
    }

    /// A request to an API process.
    pub(super) fn request(&self, api: usize, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.apis[api].url())).bearer_auth(&self.token)
    }

    /// GET from an API process.
    pub(super) async fn get(&self, api: usize, path: &str) -> Response {
        self.request(api, Method::GET, path).send().await.expect("an answer")
    }

    /// Submits an update by 1 to an API process.
    pub(super) async fn submit(&self, api: usize, user: i64) -> Response {
        let body = json!({ "userId": user, "increment": 1 });
        self.request(api, Method::POST, "/scores/update").json(&body).send().await.expect("an answer")
    }

    /// Submits an update that is accepted sooner or later; returns its id.
    pub(super) async fn accepted(&self, api: usize, user: i64) -> String {
        eventually("an update to be accepted", || async {
            let answer = self.submit(api, user).await;
            let accepted = answer.status() == StatusCode::ACCEPTED;
            let body: Value = answer.json().await.ok()?;
            accepted.then(|| body["id"].as_str().expect("an id").to_owned())
        })
        .await
    }

    /// The status of an update, from an API process, once it is applied.
    pub(super) async fn applied(&self, api: usize, id: &str) -> Value {
        eventually("an update to be applied", || async {
            let answer = self.get(api, &format!("/scores/updates/{id}")).await;
            let status: Value = answer.json().await.ok()?;
            (status["status"] == "applied").then_some(status)
        })
        .await
    }

    /// What a process says about itself at a path, as JSON.
    pub(super) async fn said(&self, member: &Member, path: &str) -> (StatusCode, Value) {
        let answer = self.http.get(format!("{}{path}", member.url())).send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    async fn add_user(&self, id: i64) {
        let body = json!({ "id": id, "name": format!("user {id}") });
        let answer = self.request(0, Method::POST, "/users").json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Kills Redis.
    pub(super) async fn kill_redis(&self) {
        let redis = Arc::clone(&self.redis);
        tokio::task::spawn_blocking(move || redis.kill()).await.expect("killed");
    }

    /// Starts Redis again with what is on its disk.
    pub(super) async fn restart_redis(&self) {
        let redis = Arc::clone(&self.redis);
        tokio::task::spawn_blocking(move || redis.restart()).await.expect("started again");
    }

    /// Stops Redis as it stands while the future runs, then lets it go on.
    pub(super) async fn redis_stopped_while(&self, work: impl Future<Output = ()>) {
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.keys().await).await.expect("figures");
        let process = info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
        let process = process.and_then(Pid::from_raw).expect("an id");
        kill_process(process, Signal::STOP).expect("a signal");
        work.await;
        kill_process(process, Signal::CONT).expect("a signal");
    }

    /// From now on nothing passes through the API processes' connections to Redis, and nobody is told.
    pub(super) fn cut_redis_in_silence(&self) {
        self.proxy.as_ref().expect("a proxy").freeze();
    }

    /// Ends PostgreSQL without letting it finish anything.
    pub(super) async fn kill_postgres(&self) {
        let postgres = Arc::clone(&self.postgres);
        tokio::task::spawn_blocking(move || postgres.kill()).await.expect("killed");
    }

    /// Starts PostgreSQL again; it recovers first.
    pub(super) async fn restart_postgres(&self) {
        self.postgres.start_again().await;
    }

    /// The ledger, seen without any code of ours.
    pub(super) async fn ledger(&self) -> PgPool {
        PgPool::connect(&self.database).await.expect("the database answers")
    }

    /// Redis, seen without any code of ours.
    pub(super) async fn keys(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis.url()).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("Redis answers")
    }

    /// Deletes every key that matches; returns how many.
    pub(super) async fn delete_keys(&self, pattern: &str) -> usize {
        let mut redis = self.keys().await;
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
        if !keys.is_empty() {
            redis::cmd("DEL").arg(&keys).query_async::<()>(&mut redis).await.expect("deleted");
        }
        keys.len()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the fleet's logs are in {}", self.dir.path().display());
        }
    }
}
