//! HTTP: what requests look like, who may send them, and which handler answers.
//!
//! warp carries the request and the response; the route table (`routes`) decides what it is about.

mod accept;
mod access;
mod assets;
pub mod auth;
mod body;
mod client_ip;
mod conditional;
mod cors;
mod feed_streams;
mod feeds;
mod fetches;
mod jobs;
mod limit;
mod operations;
mod pattern;
mod prefer;
mod problem;
pub(crate) mod rebuild;
mod routes;
mod scope;
mod scores;
mod shed;
mod stream_tokens;
mod streams;
mod users;
mod verified;
mod viewers;
mod waiting;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use prometheus_client::metrics::counter::Counter;
use scorewire_core::acceptance::Acceptor;
use scorewire_core::dead_letters::Verdict;
use scorewire_core::domain::RequestId;
use scorewire_core::metrics::{Metrics, RequestLabels};
use scorewire_core::settings::Settings;
use scorewire_core::settings::units::Role;
use scorewire_core::wiring::Wiring;
use scorewire_workers::Health;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use warp::Filter;

use self::auth::{Caller, Tokens};
use self::body::BodyLimits;
use self::cors::Cors;
use self::limit::Limits;
use self::problem::{Kind, Problem};
use self::routes::{Action, Counted, Match, ROUTES};
use crate::live::Hub;

pub(crate) use self::jobs::{DecidedView, JobPageView, JobView, StatsView};
pub(crate) use self::users::UserView;

pub(crate) type Response = warp::reply::Response;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Everything handlers work with.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) wiring: Wiring,
    pub(crate) acceptor: Acceptor,
    pub(crate) tokens: Tokens,
    pub(crate) hub: Arc<Hub>,
    /// Cancelled when viewers shall go.
    pub(crate) hub_closing: CancellationToken,
    /// The workers' of this process, if it has any.
    pub(crate) health: Option<Arc<Health>>,
    limits: Limits,
    cors: Cors,
    counters: RouteCounters,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        wiring: Wiring,
        acceptor: Acceptor,
        tokens: Tokens,
        hub: Arc<Hub>,
        hub_closing: CancellationToken,
        health: Option<Arc<Health>>,
    ) -> Self {
        Self {
            limits: Limits::new(
                &*wiring.rate_limits,
                settings.rate_limit_subject,
                settings.rate_limit_ip,
                settings.rate_limit_streams,
            ),
            cors: Cors::new(&settings.cors_origins.0),
            counters: RouteCounters::default(),
            settings,
            wiring,
            acceptor,
            tokens,
            hub,
            hub_closing,
            health,
        }
    }

    /// Forgets rate-limit buckets that are full again.
    pub(crate) fn forget_idle_limits(&self) {
        self.limits.forget_idle();
    }
}

/// What the connection knows of a request, set by the server as an extension. Its URI may hold a token, so it is not
/// for printing.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) peer: IpAddr,
    pub(crate) uri: Uri,
    /// The connection after an answer of 101, where an HTTP/1.1 request asks for an upgrade.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// Cancelled, the listener drops the connection at once, with all that is in flight on it. An upgraded one has
    /// left the listener: who holds it drops it.
    pub(crate) cut: CancellationToken,
}

impl Arrival {
    /// Of a request that came from nowhere we listen.
    fn unknown() -> Self {
        let peer = IpAddr::from([0, 0, 0, 0]);
        Self { peer, uri: Uri::default(), upgrade: None, cut: CancellationToken::new() }
    }
}

/// A request on its way to a handler.
struct Call<'a> {
    app: &'a App,
    arrival: &'a Arrival,
    headers: &'a HeaderMap,
    /// Where it comes from, beyond trusted proxies.
    address: IpAddr,
    /// May hold a token: never part of a log line or a problem.
    query: &'a str,
    /// The text in place of the route's `{…}`.
    parameter: &'a str,
    request: &'a RequestId,
}

impl Call<'_> {
    /// Who sent it; fails without a valid token.
    fn caller(&self) -> Result<Arc<Caller>, Problem> {
        self.app.tokens.caller(self.headers)
    }

    /// Its query parameters.
    fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_urlencoded::from_str(self.query)
            .map_err(|e| Problem::new(Kind::InvalidRequest, format!("query parameters: {e}")))
    }
}

/// The whole API as a warp filter.
pub(crate) fn filter(
    app: Arc<App>,
) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static {
    let arrival = warp::ext::optional::<Arrival>();
    warp::method()
        .and(arrival)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, arrival: Option<Arrival>, headers: HeaderMap, body| {
            let app = Arc::clone(&app);
            async move {
                // The listener sets it on every request.
                let arrival = arrival.unwrap_or_else(Arrival::unknown);
                answer(&app, &method, &arrival, &headers, body).await
            }
        })
        .or_else(|never: warp::Rejection| async move {
            tracing::debug!(?never, "a filter without conditions rejected a request");
            Ok((Response::default(),))
        })
}

async fn answer(
    app: &App,
    method: &Method,
    arrival: &Arrival,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Response {
    let path = arrival.uri.path();
    let request = request_id(headers);
    let found = routes::find(method, path);
    let mut response = match found {
        // A process of workers answers probes and scrapes alone.
        Match::Route(index, _) if app.settings.role == Role::Worker && ROUTES[index].counted != Counted::No => {
            Problem::new(Kind::NotFound, "this process runs workers only: ask one that runs the API")
                .into_response(path, &request)
        }
        Match::Route(index, parameter) => {
            let query = arrival.uri.query().unwrap_or_default();
            let address = client_ip::client_ip(arrival.peer, headers, &app.settings.trusted_proxies.0);
            let call = Call { app, arrival, headers, address, query, parameter, request: &request };
            dispatch(app, index, &call, body).await.unwrap_or_else(|p| p.into_response(path, &request))
        }
        Match::OtherMethods if method == Method::OPTIONS => options(path),
        Match::OtherMethods => {
            let allowed = routes::allowed(path);
            let problem = Problem::new(Kind::MethodNotAllowed, format!("this path has: {allowed}"));
            let mut response = problem.into_response(path, &request);
            response.headers_mut().insert(header::ALLOW, allow(&allowed));
            response
        }
        Match::Nothing => Problem::new(Kind::NotFound, "nothing is at this path").into_response(path, &request),
    };
    let written = response.headers_mut();
    app.cors.write(headers, written, method == Method::OPTIONS);
    written.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    if let Ok(id) = HeaderValue::from_str(request.as_str()) {
        written.insert(REQUEST_ID, id);
    }
    app.counters.count(&app.wiring.metrics, found, response.status());
    tracing::debug!(%request, %method, path, status = response.status().as_u16(), "answered");
    response
}

async fn dispatch(
    app: &App,
    index: usize,
    call: &Call<'_>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Result<Response, Problem> {
    let route = ROUTES[index];
    if route.counted == Counted::Yes {
        app.limits.check_address(call.address).await?;
    }
    let limits = BodyLimits { bytes: app.settings.max_body.0, time: app.settings.header_timeout.0 };
    match route.action {
        Action::Page => assets::page(call),
        Action::Asset => assets::asset(call),
        Action::Client => assets::client(call),
        Action::ClientTypes => assets::client_types(call),
        Action::ListScores => scores::list(app, call).await,
        Action::StreamScores => streams::board(app, call).await,
        Action::StreamTopic => streams::topic(app, call).await,
        Action::StreamTopics => streams::several(app, call).await,
        Action::StreamFeed => feed_streams::named(app, call).await,
        Action::StreamDefaultFeed => feed_streams::default(app, call).await,
        Action::OpenSocket => streams::socket(app, call).await,
        Action::ListViewers => viewers::list(app, call),
        Action::UpdateScore => {
            // Who may not write need not be read.
            call.caller()?;
            scores::update(app, call, body::json(call.headers, body, limits).await?).await
        }
        Action::CreateStreamToken => {
            call.caller()?;
            let wish = body::json_or_nothing(call.headers, body, limits).await?.unwrap_or_default();
            stream_tokens::create(app, call, wish)
        }
        Action::FindUpdate => scores::find_update(app, call).await,
        Action::CreateUser => {
            call.caller()?;
            users::create(app, call, body::json(call.headers, body, limits).await?).await
        }
        Action::ListUsers => users::list(app, call).await,
        Action::FindUser => users::find(app, call).await,
        Action::ListJobs => jobs::list(app, call).await,
        Action::CountJobs => jobs::stats(app, call).await,
        Action::FindJob => jobs::find(app, call).await,
        Action::RetryJob => jobs::decide_one(app, call, Verdict::Retry).await,
        Action::RetryJobs => jobs::decide_page(app, call, Verdict::Retry).await,
        Action::DiscardJob => jobs::decide_one(app, call, Verdict::Discard).await,
        Action::DiscardJobs => jobs::decide_page(app, call, Verdict::Discard).await,
        Action::Rebuild => rebuild::rebuild(app, call).await,
        Action::ListFeeds => feeds::list(app, call).await,
        Action::FindFeed => feeds::find(app, call).await,
        Action::FeedHistory => feeds::history(app, call).await,
        Action::ListRequests => fetches::requests(app, call).await,
        Action::FetchFeed => fetches::create(app, call).await,
        Action::FindFetch => fetches::find(app, call).await,
        Action::DescribeProblem => operations::describe_problem(call),
        Action::Live => Ok(operations::live()),
        Action::Ready => Ok(operations::ready(app).await),
        Action::Metrics => operations::metrics(app).await,
    }
}

/// The client's own id where it is plain, else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain) {
        Some(id) => RequestId::new(id),
        None => RequestId::new(ulid::Ulid::generate().to_string()),
    }
}

fn options(path: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, allow(&routes::allowed(path)));
    response
}

fn allow(methods: &str) -> HeaderValue {
    HeaderValue::from_str(methods).unwrap_or_else(|_| unreachable!("method names are a header value"))
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    // Plain structs of strings and numbers always serialise.
    let mut response = Response::new(serde_json::to_vec(body).unwrap_or_default().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// An answer that is true only now.
fn fresh_json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = json_response(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream of server-sent events.
fn event_stream<S, E>(events: S) -> Response
where
    S: Stream<Item = Result<bytes::Bytes, E>> + Send + Sync + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
{
    let mut response = warp::Reply::into_response(warp::reply::stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Request counters, resolved once per route and class of status.
#[derive(Debug)]
struct RouteCounters {
    routes: [[OnceLock<Counter>; 4]; ROUTES.len()],
    others: [OnceLock<Counter>; 4],
}

impl Default for RouteCounters {
    fn default() -> Self {
        Self { routes: std::array::from_fn(|_| Default::default()), others: Default::default() }
    }
}

impl RouteCounters {
    fn count(&self, metrics: &Metrics, found: Match<'_>, status: StatusCode) {
        let (class, name) = match status.as_u16() {
            ..300 => (0, "2xx"),
            300..400 => (1, "3xx"),
            400..500 => (2, "4xx"),
            500.. => (3, "5xx"),
        };
        let (counter, route, method) = match found {
            Match::Route(index, _) => (&self.routes[index][class], ROUTES[index].pattern, ROUTES[index].method),
            _ => (&self.others[class], "(none)", "(any)"),
        };
        counter
            .get_or_init(|| metrics.requests.get_or_create(&RequestLabels { route, method, status: name }).clone())
            .inc();
    }
}
