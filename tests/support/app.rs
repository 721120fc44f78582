//! A server in this process, on a free port and empty storage, and a client that knows its API.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scorewire::http::auth::{Grant, Scope};
use scorewire::server::{self, Server};
use scorewire_core::domain::{BoardId, Event, FeedName, Message, NewMessage, TopicName};
use scorewire_core::ports::{FeedNote, JobKind};
use scorewire_core::settings::units::Maybe;
use scorewire_core::settings::{Feed, Overrides, Settings, SettingsFile};
use serde_json::{Value, json};

use super::deployment::{Deployment, Storage};
use super::{Stream, eventually, within};

/// Rows of a board as (rank, user id, score).
pub(crate) type Scores = Vec<(u64, i64, i64)>;

/// A running server and its client.
pub(crate) struct TestApp {
    pub(crate) server: Server,
    pub(crate) settings: Settings,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) storage: Storage,
}

impl TestApp {
    /// A server with default settings, but without rate limits.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with settings changed by the test.
    pub(crate) async fn with(change: impl FnOnce(&mut Overrides)) -> Self {
        Self::on(Storage::empty(Deployment::of_this_run()).await, change).await
    }

    /// A server on the data another one left.
    pub(crate) async fn on(storage: Storage, change: impl FnOnce(&mut Overrides)) -> Self {
        Self::with_feeds(storage, "", change).await
    }

    /// A server with feeds, given as tables of a settings file.
    pub(crate) async fn with_feeds(storage: Storage, feeds: &str, change: impl FnOnce(&mut Overrides)) -> Self {
        let mut overrides = Overrides {
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            rate_limit_subject: Some("off".parse().expect("a rate")),
            rate_limit_ip: Some("off".parse().expect("a rate")),
            rate_limit_streams: Some("off".parse().expect("a rate")),
            // The test's own binary can not run filters.
            transform_program: Some(Maybe(Some(env!("CARGO_BIN_EXE_scorewire").into()))),
            ..storage.overrides()
        };
        change(&mut overrides);
        let file = SettingsFile::parse(feeds, Path::new("scorewire.toml")).expect("a settings file");
        let settings = Settings::resolve(overrides, &file).expect("valid settings");
        let configured = Feed::all(&settings, &file, &|_| None).expect("feeds");
        let server = Server::start(settings.clone(), configured).await.expect("the server starts");
        let url = format!("http://{}", server.address);
        Self { server, settings, url, http: reqwest::Client::new(), storage }
    }

    /// The server's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.settings.data_dir.clone()
    }

    /// A token for a subject.
    pub(crate) fn token(&self, subject: &str, scopes: &[impl Into<Grant> + Clone]) -> String {
        let expires = SystemTime::now() + Duration::from_secs(3_600);
        server::tokens(&self.settings).expect("a secret").0.issue(subject, scopes, expires).expect("a token")
    }

    /// A token that may do everything.
    pub(crate) fn admin(&self) -> String {
        self.token("tester", &[Scope::Admin])
    }

    /// A request to a path of this server.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// GET without a token.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    /// A user of this id, named `user <id>`.
    pub(crate) async fn add_user(&self, id: i64) {
        let body = json!({ "id": id, "name": format!("user {id}") });
        let answer = self.request(Method::POST, "/users").bearer_auth(self.admin()).json(&body).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::CREATED);
    }

    /// Submits an update as `tester` and returns the answer.
    pub(crate) async fn submit(&self, user: i64, increment: i64, key: Option<&str>) -> Response {
        let body = json!({ "userId": user, "increment": increment });
        let mut request = self.request(Method::POST, "/scores/update").bearer_auth(self.admin()).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.send().await.expect("an answer")
    }

    /// Submits an update that must be accepted; returns its id.
    pub(crate) async fn accepted(&self, user: i64, increment: i64, key: Option<&str>) -> String {
        let answer = self.submit(user, increment, key).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let body: Value = answer.json().await.expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// The status of an update.
    pub(crate) async fn status(&self, id: &str) -> Value {
        let path = format!("/scores/updates/{id}");
        let answer = self.request(Method::GET, &path).bearer_auth(self.admin()).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "the status of {id}");
        answer.json().await.expect("JSON")
    }

    /// The status of an update once it is one of these.
    pub(crate) async fn status_when(&self, id: &str, statuses: &[&str]) -> Value {
        eventually("an update's status", || async {
            let status = self.status(id).await;
            statuses.contains(&status["status"].as_str().expect("a status")).then_some(status)
        })
        .await
    }

    /// Submits an update and waits until the ledger has decided.
    pub(crate) async fn decided(&self, user: i64, increment: i64) -> Value {
        let id = self.accepted(user, increment, None).await;
        self.status_when(&id, &["applied", "rejected", "failed"]).await
    }

    /// Rows of `GET /scores` with a query.
    pub(crate) async fn scores(&self, query: &str) -> Scores {
        let rows: Vec<Value> = self.get(&format!("/scores{query}")).await.json().await.expect("JSON");
        rows.iter()
            .map(|row| {
                let number = |key: &str| row[key].as_i64().expect("a number");
                (number("rank").unsigned_abs(), number("userId"), number("score"))
            })
            .collect()
    }

    /// A viewer of `/scores/stream` with a query and an optional `Last-Event-ID`.
    pub(crate) async fn stream(&self, query: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, &format!("/scores/stream{query}"));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        Stream::new(request.send().await.expect("an answer"))
    }

    /// Appends a message to a topic, as a worker does.
    pub(crate) async fn note(&self, topic: &str, event: &str, data: &Value) {
        let topic = TopicName::parse(topic).expect("a topic");
        let message = NewMessage { event: Event::parse(event).expect("a name"), data: data.to_string().into() };
        self.server.wiring.topics.append(&topic, vec![message]).await.expect("appended");
    }

    /// Publishes a value of a feed as a fetch does; the message as its topic holds it.
    pub(crate) async fn publish(&self, feed: &str, data: Value) -> (String, Message) {
        let name = FeedName::parse(feed).expect("a name");
        let store = &self.server.wiring.feed_store;
        let stored = store.publish(&name, &data.to_string(), &FeedNote::default()).await.expect("published");
        let latest = stored.latest.expect("a message");
        (stored.position.to_string(), (*latest).clone())
    }

    /// Waits until everything accepted is decided, published and acknowledged.
    pub(crate) async fn settled(&self) {
        eventually("an empty queue", || async {
            let stats = self.server.wiring.queue.stats(JobKind::Scores).await.expect("statistics");
            (stats.depth == 0).then_some(())
        })
        .await;
    }

    /// Stops the server after checking what must hold at every end: nothing is left undone, no viewer leaks, and
    /// the rankings are those of the ledger.
    pub(crate) async fn finish(self) -> Storage {
        self.settled().await;
        eventually("viewers to be gone", || async { (self.server.wiring.metrics.viewers.get() == 0).then_some(()) })
            .await;
        let board = BoardId::main();
        let wiring = &self.server.wiring;
        for named in wiring.ledger.standings(&board, None, usize::MAX >> 1).await.expect("standings") {
            let row = wiring.rankings.row(&board, named.standing.user).await.expect("a row");
            assert_eq!(row.map(|row| row.score), Some(named.standing.score), "rankings equal the ledger");
        }
        within("the server to stop", self.server.stop()).await;
        self.storage
    }
}
