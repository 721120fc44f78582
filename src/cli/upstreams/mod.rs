//! `scorewire upstreams`: reqres.in and CoinDesk's data API as they answer, on this machine, and as they fail.

mod body;
mod coindesk;
mod fault;
mod reqres;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scorewire_core::settings::units::{Secret, Span};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::fault::FaultOf;
use self::service::Upstreams;

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Where and how to imitate.
#[derive(Debug, Args)]
pub(super) struct UpstreamsArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:3999")]
    listen: SocketAddr,
    /// Key to require: as `Authorization: Apikey KEY` or api_key= by CoinDesk, as x-api-key by reqres [default: none]
    #[arg(long)]
    key: Option<Secret>,
    /// Where the random walk of prices begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Between two prices; 0s: a new one with each request
    #[arg(long, default_value = "1s")]
    tick: Span,
    /// A fault from the start, like reqres=slow: slow, 401, 403, 429, 500, cut, garbage, huge, huge-gzip,
    /// redirect-loop, other-shape or hidden-error
    #[arg(long, value_name = "SERVICE=FAULT")]
    fault: Vec<FaultOf>,
}

/// Answers until Ctrl-C.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) async fn run(args: UpstreamsArgs) -> anyhow::Result<()> {
    let upstreams = Arc::new(Upstreams::new(args.key.map(|key| key.0), args.seed, args.tick.0));
    for FaultOf { service, fault } in args.fault {
        upstreams.switch(&service).with_context(|| format!("{service} is no service: reqres or coindesk"))?.set(fault);
    }
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("could not listen on {}", args.listen))?;
    let url = crate::server::local_url(listener.local_addr()?);
    println!("scorewire upstreams listens on {url}\n");
    println!("  curl {url}{}", reqres::PATH);
    println!("  curl '{url}{}?market=cadli&instruments=BTC-USD'", coindesk::PATH);
    println!("  curl -X POST {url}/faults/reqres -d '{{\"fault\":\"429\"}}'     # or coindesk; none ends it");
    println!("  curl {url}/requests                                       # how often each was asked\n");
    println!("A server that publishes it: SOURCE_URL={url}{} scorewire feeds check", reqres::PATH);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                // A client that was gone before it was taken, or too many at once.
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let upstreams = Arc::clone(&upstreams);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let upstreams = Arc::clone(&upstreams);
                async move { upstreams.answer(request).await }
            });
            // A client that goes, and a fault that cuts it off, are no news here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}
