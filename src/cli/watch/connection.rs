//! One connection after another to the streams of a server: where each begins, how it ends, when the next may come.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::WatchArgs;
use super::envelope::{Close, Envelope};
use super::events::EventReader;

/// Longest wait for a connection and for the head of its answer.
const OPENING: Duration = Duration::from_secs(10);
/// The server says something every 15 s; after two and a half times that the connection is dead.
const SILENCE: Duration = Duration::from_millis(37_500);
/// First and longest ceiling of the back-off.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// After a connection that lasted so long, the back-off begins anew.
const STEADY: Duration = Duration::from_secs(10);

/// The streams that the command was asked for.
pub(super) struct Server {
    http: reqwest::Client,
    url: Url,
    /// The topic of a stream that carries one.
    only: Option<String>,
    token: Option<String>,
    since: Option<u64>,
}

/// Where to go on, and how patiently.
#[derive(Debug, Default)]
pub(super) struct Place {
    last_id: Option<String>,
    /// Waits since the last steady connection.
    waits: u32,
    /// The wait that the server asked for.
    asked: Option<Duration>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By the server, with a reason.
    Closed(Close),
    /// By accident, or by a server that goes away.
    Broken(String),
    /// Nobody reads what is printed.
    Unread,
}

impl Place {
    /// How long to wait before the next connection.
    pub(super) fn wait(&mut self, ended: &Ended) -> Duration {
        let asked = self.asked.take();
        let wait = asked.unwrap_or_else(|| back_off(self.waits, rand::random()));
        if !matches!(ended, Ended::Unread) {
            self.waits = self.waits.saturating_add(1);
        }
        wait
    }
}

/// The wait before attempt number `attempt` (from 0): anything up to a ceiling that doubles, so that the viewers of a
/// restarted server do not come back together. `chance` lies in 0..1.
fn back_off(attempt: u32, chance: f64) -> Duration {
    let (first, longest) = BACK_OFF;
    first.saturating_mul(2_u32.saturating_pow(attempt)).min(longest).mul_f64(chance.clamp(0.0, 1.0))
}

impl Server {
    /// Prepares; nothing is sent yet.
    pub(super) fn new(args: &WatchArgs) -> anyhow::Result<Self> {
        let base = args.url.trim_end_matches('/');
        let only = <[String; 1]>::try_from(args.topics.clone()).ok().map(|[topic]| topic);
        let mut url = Url::parse(base).with_context(|| format!("`{base}` is not the address of a server"))?;
        if url.scheme() != "http" {
            bail!("`{base}` must start with http://: this command speaks plain HTTP only");
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("topics").extend(only.as_deref()).push("stream");
        }
        {
            let mut query = url.query_pairs_mut();
            if only.is_none() {
                query.extend_pairs(args.topics.iter().map(|topic| ("topic", topic)));
            }
            query.extend_pairs(args.every.iter().map(|every| ("every", every)));
            if args.no_conflate {
                query.append_pair("conflate", "0");
            }
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("scorewire-watch/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // A relay that packs streams holds messages back.
            .no_gzip()
            .connect_timeout(OPENING);
        if url.scheme() == "http" {
            http = http.tls_certs_only([]);
        }
        let http = http.build()?;
        let token = args.token.as_deref().map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(Self { http, url, only, token, since: args.since })
    }

    /// Follows one connection to its end, and moves the place along.
    ///
    /// # Errors
    /// The server refuses, in its words: to come back would only repeat the fault.
    pub(super) async fn follow(
        &self,
        place: &mut Place,
        mut show: impl FnMut(&Envelope, &str) -> io::Result<()>,
    ) -> anyhow::Result<Ended> {
        let mut answer = match self.open(place).await? {
            Ok(answer) => answer,
            Err(ended) => return Ok(ended),
        };
        let opened = Instant::now();
        let mut reader = EventReader::after(place.last_id.clone());
        let ended = loop {
            let piece = match tokio::time::timeout(SILENCE, answer.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break Ended::Broken("the stream ended".to_owned()),
                Ok(Err(error)) => break Ended::Broken(innermost(&error)),
                Err(_) => break Ended::Broken("the server has gone silent".to_owned()),
            };
            reader.push(&piece);
            if let Some(ended) = self.take(&mut reader, &mut show)? {
                break ended;
            }
        };
        place.last_id = reader.last_id;
        place.asked = reader.retry;
        if opened.elapsed() >= STEADY {
            place.waits = 0;
        }
        Ok(ended)
    }

    /// Shows what was read; the end, if that is among it.
    fn take(
        &self,
        reader: &mut EventReader,
        show: &mut impl FnMut(&Envelope, &str) -> io::Result<()>,
    ) -> anyhow::Result<Option<Ended>> {
        while let Some(event) = reader.next() {
            let (envelope, json) = Envelope::read(event, self.only.as_deref())
                .context("what the server sent is no stream of a Scorewire server; is --url right?")?;
            if let Envelope::Close(close) = envelope {
                return Ok(Some(Ended::Closed(close)));
            }
            match show(&envelope, &json) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Some(Ended::Unread)),
                Err(error) => return Err(error).context("cannot write to standard output"),
            }
        }
        Ok(None)
    }

    async fn open(&self, place: &mut Place) -> anyhow::Result<Result<Response, Ended>> {
        let mut url = self.url.clone();
        // Inclusive: only before there is a place, or what is known would come again.
        if let (None, Some(since)) = (&place.last_id, self.since) {
            url.query_pairs_mut().append_pair("since", &since.to_string());
        }
        let mut request = self.http.get(url).header(ACCEPT, "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = &place.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = match tokio::time::timeout(OPENING, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_builder() => return Err(error.into()),
            Ok(Err(error)) => return Ok(Err(Ended::Broken(innermost(&error)))),
            Err(_) => return Ok(Err(Ended::Broken("the server does not answer".to_owned()))),
        };
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(Ok(answer));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            place.asked = wait.map(Duration::from_secs);
            return Ok(Err(Ended::Broken(format!("the server answered {status}"))));
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        bail!("the server answered {status}: {}", problem["detail"].as_str().unwrap_or("without saying why"))
    }
}

/// The cause at the bottom, which is the part that a person understands.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_lie_anywhere_below() {
        let ceilings: Vec<u64> = (0..8).map(|attempt| back_off(attempt, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(back_off(u32::MAX, 1.0), BACK_OFF.1);
        assert_eq!(back_off(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_servers_wait_is_obeyed_once() {
        let broken = Ended::Broken(String::new());
        let mut place = Place { asked: Some(Duration::from_secs(7)), ..Place::default() };
        assert_eq!(place.wait(&broken), Duration::from_secs(7));
        assert!(place.wait(&broken) <= Duration::from_secs(1));
    }
}
