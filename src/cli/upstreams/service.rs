//! Requests to the imitated services, and to the switches of their faults.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    RETRY_AFTER,
};
use http::response::Builder;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use scorewire_core::ports::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Body};
use super::coindesk::{self, Exchange};
use super::fault::{Fault, Switch};
use super::reqres;

/// Largest body of a request to a switch.
const SWITCH_BYTES: usize = 1_024;
/// How long who asked too often is told to wait.
const LATER_SECONDS: &str = "5";

/// Times of requests remembered of a service.
const REMEMBERED: usize = 10_000;

/// One imitated service.
#[derive(Default)]
struct Service {
    requests: AtomicU64,
    /// When the newest of them came, in µs since 1970.
    times: Mutex<VecDeque<i64>>,
    fault: Switch,
}

impl Service {
    fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push_back(SystemClock.now().0);
        if times.len() > REMEMBERED {
            times.pop_front();
        }
    }

    fn times(&self) -> Value {
        json!(*self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Both services.
pub(super) struct Upstreams {
    key: Option<String>,
    exchange: Mutex<Exchange>,
    reqres: Service,
    coindesk: Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    fault: String,
}

type Answer = Result<Response<Body>, anyhow::Error>;

impl Upstreams {
    pub(super) fn new(key: Option<String>, seed: u64, tick: Duration) -> Self {
        let exchange = Mutex::new(Exchange::new(seed, tick));
        Self { key, exchange, reqres: Service::default(), coindesk: Service::default() }
    }

    /// The switch of a service, by its name.
    pub(super) fn switch(&self, service: &str) -> Option<&Switch> {
        match service {
            "reqres" => Some(&self.reqres.fault),
            "coindesk" => Some(&self.coindesk.fault),
            _ => None,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, reqres::PATH) => self.reqres(&request),
            (&Method::GET, coindesk::PATH) => self.coindesk(&request),
            (&Method::GET, "/requests") => {
                let count = |service: &Service| service.requests.load(Ordering::Relaxed);
                plain(StatusCode::OK, &json!({ "reqres": count(&self.reqres), "coindesk": count(&self.coindesk) }))
            }
            (&Method::GET, "/requests/reqres") => plain(StatusCode::OK, &self.reqres.times()),
            (&Method::GET, "/requests/coindesk") => plain(StatusCode::OK, &self.coindesk.times()),
            (&Method::POST, path) if path.starts_with("/faults/") => {
                match self.switch(path.trim_start_matches("/faults/")) {
                    Some(switch) => turn(switch, request).await,
                    None => refused(StatusCode::NOT_FOUND, "the services are reqres and coindesk"),
                }
            }
            _ => refused(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    fn reqres(&self, request: &Request<Incoming>) -> Answer {
        self.reqres.count();
        let fault = self.reqres.fault.get();
        let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
        if self.key.is_some() && key != self.key.as_deref() {
            return plain(StatusCode::UNAUTHORIZED, &reqres::error("Missing or invalid API key"));
        }
        let words = |_, message: &str| reqres::error(message);
        respond(request, fault, &reqres::user(), &reqres::other_shape(), words)
    }

    fn coindesk(&self, request: &Request<Incoming>) -> Answer {
        self.coindesk.count();
        let fault = self.coindesk.fault.get();
        let query: Vec<(String, String)> =
            serde_urlencoded::from_str(request.uri().query().unwrap_or_default()).unwrap_or_default();
        let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(|value| value.strip_prefix("Apikey ")).or_else(|| parameter("api_key"));
        if self.key.is_some() && key != self.key.as_deref() {
            let words = "API key required, get one at https://developers.coindesk.com";
            return plain(StatusCode::UNAUTHORIZED, &coindesk::error(401, words));
        }
        let (Some(market), Some(instruments)) = (parameter("market"), parameter("instruments")) else {
            return plain(StatusCode::BAD_REQUEST, &coindesk::error(400, "market and instruments are required"));
        };
        let instruments: Vec<&str> = instruments.split(',').filter(|name| !name.is_empty()).collect();
        let tick = self.exchange.lock().unwrap_or_else(PoisonError::into_inner).latest(market, &instruments);
        respond(request, fault, &tick, &coindesk::other_shape(), coindesk::error)
    }
}

/// The answer of a service with this fault.
fn respond(
    request: &Request<Incoming>,
    fault: Fault,
    good: &Value,
    other_shape: &Value,
    words: impl Fn(u16, &str) -> Value,
) -> Answer {
    let bytes = Bytes::from(good.to_string());
    let ok = || json_head(StatusCode::OK);
    Ok(match fault {
        Fault::None => return good_answer(request, bytes),
        Fault::OtherShape => return plain(StatusCode::OK, other_shape),
        Fault::HiddenError => return plain(StatusCode::OK, &words(200, "the market is closed")),
        Fault::Unauthorized => return plain(StatusCode::UNAUTHORIZED, &words(401, "API key required")),
        Fault::Forbidden => return plain(StatusCode::FORBIDDEN, &words(403, "this key may not have this")),
        Fault::ServerError => return plain(StatusCode::INTERNAL_SERVER_ERROR, &words(500, "internal error")),
        Fault::RateLimited => {
            let bytes = words(429, "too many requests").to_string();
            json_head(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, LATER_SECONDS).body(body::whole(bytes))?
        }
        Fault::Slow => ok().header(CONTENT_LENGTH, bytes.len()).body(body::slow(bytes))?,
        Fault::Cut => ok().header(CONTENT_LENGTH, bytes.len()).body(body::cut(&bytes))?,
        Fault::Huge => ok().body(body::huge())?,
        Fault::HugeGzip => ok().header(CONTENT_ENCODING, "gzip").body(body::huge_gzip())?,
        Fault::Garbage => {
            let page = "<!doctype html><title>502</title><h1>We will be right back</h1>";
            Response::builder().header(CONTENT_TYPE, "text/html").body(body::whole(page))?
        }
        Fault::RedirectLoop => {
            let here = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            Response::builder().status(StatusCode::FOUND).header(LOCATION, here).body(body::whole(""))?
        }
    })
}

/// A good answer: known already, packed or plain.
fn good_answer(request: &Request<Incoming>, bytes: Bytes) -> Answer {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let etag = format!("\"{:016x}\"", hash(&bytes));
    if header(IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok(Response::builder().status(StatusCode::NOT_MODIFIED).header(ETAG, etag).body(body::whole(""))?);
    }
    let head = json_head(StatusCode::OK).header(ETAG, etag);
    Ok(match header(ACCEPT_ENCODING) {
        Some(accepted) if accepted.contains("gzip") => {
            head.header(CONTENT_ENCODING, "gzip").body(body::whole(body::gzip(&bytes)?))?
        }
        _ => head.body(body::whole(bytes))?,
    })
}

/// FNV-1a: enough to tell versions apart.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Turns a switch as the request wishes.
async fn turn(switch: &Switch, request: Request<Incoming>) -> Answer {
    let body = match Limited::new(request.into_body(), SWITCH_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let fault = match serde_json::from_slice::<Wish>(&body) {
        Ok(wish) => wish.fault.parse::<Fault>(),
        Err(error) => Err(format!("write {{\"fault\":\"slow\"}}: {error}")),
    };
    match fault {
        Ok(fault) => {
            switch.set(fault);
            plain(StatusCode::OK, &json!({ "fault": fault.to_string() }))
        }
        Err(why) => refused(StatusCode::BAD_REQUEST, &why),
    }
}

fn json_head(status: StatusCode) -> Builder {
    Response::builder().status(status).header(CONTENT_TYPE, "application/json; charset=utf-8")
}

fn plain(status: StatusCode, value: &Value) -> Answer {
    Ok(json_head(status).body(body::whole(value.to_string()))?)
}

fn refused(status: StatusCode, why: &str) -> Answer {
    plain(status, &json!({ "error": why }))
}
