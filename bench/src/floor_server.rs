//! The floor of reads: hyper and nothing else, answering every request with the same ready bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Clone, Debug, Args)]
pub(crate) struct FloorArgs {
    #[arg(long)]
    listen: SocketAddr,
    /// A file with the body
    #[arg(long)]
    body: PathBuf,
    #[arg(long)]
    content_type: HeaderValue,
    #[arg(long)]
    etag: HeaderValue,
    #[arg(long)]
    cache_control: HeaderValue,
}

/// Serves until it is ended from outside.
pub(crate) fn run(args: &FloorArgs) -> anyhow::Result<()> {
    let body = Bytes::from(std::fs::read(&args.body)?);
    let (content_type, etag, cache_control) =
        (args.content_type.clone(), args.etag.clone(), args.cache_control.clone());
    let answer = move |_: Request<Incoming>| {
        let mut response = Response::new(Full::new(body.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type.clone());
        headers.insert(ETAG, etag.clone());
        headers.insert(CACHE_CONTROL, cache_control.clone());
        std::future::ready(Ok::<_, Infallible>(response))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer.clone()));
            tokio::spawn(connection);
        }
    })
}
