//! `scorewire watch`: follows topics in the terminal, over server-sent events, and comes back by itself.

mod connection;
mod envelope;
mod events;

use std::io::{self, Write};
use std::time::SystemTime;

use anyhow::bail;
use clap::Args;

use self::connection::{Ended, Place, Server};
use self::envelope::Envelope;

/// Follow topics: one line for each message, until Ctrl-C
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// What to follow, e.g. scores
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Address of the server
    #[arg(long, default_value = "http://localhost:3000")]
    url: String,
    /// Token, where the server's streams need one
    #[arg(long, env = "SCOREWIRE_TOKEN", hide_env_values = true, value_name = "JWT")]
    token: Option<String>,
    /// At most one batch of messages per topic in this time, e.g. 500ms
    #[arg(long, value_name = "TIME")]
    every: Option<String>,
    /// Begin with the messages of this second [unix seconds]; without it, with the state of now
    #[arg(long, value_name = "SECONDS")]
    since: Option<u64>,
    /// Every message, none merged with later ones
    #[arg(long)]
    no_conflate: bool,
    /// Print each message as the server's JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &WatchArgs) -> anyhow::Result<()> {
    tokio::select! {
        ended = follow(args) => ended,
        asked = tokio::signal::ctrl_c() => Ok(asked?),
    }
}

/// Follows until the server says not to come back, or nobody reads any more.
async fn follow(args: &WatchArgs) -> anyhow::Result<()> {
    let server = Server::new(args)?;
    let mut place = Place::default();
    loop {
        let ended = server.follow(&mut place, |envelope, json| show(args, envelope, json)).await?;
        let wait = place.wait(&ended);
        match ended {
            Ended::Unread => return Ok(()),
            Ended::Closed(close) if close.reason == "reauthenticate" => {
                bail!("the token has run out: give a new one with --token or SCOREWIRE_TOKEN")
            }
            Ended::Closed(close) if !close.reconnect => {
                bail!("the server ended the stream: {} ({})", close.reason, close.code)
            }
            Ended::Closed(close) => tell(&format!("ended: {} ({}); back in {wait:.1?}", close.reason, close.code)),
            Ended::Broken(why) => tell(&format!("{why}; trying again in {wait:.1?}")),
        }
        tokio::time::sleep(wait).await;
    }
}

/// Prints what the server said.
///
/// # Errors
/// Standard output is closed or full.
fn show(args: &WatchArgs, envelope: &Envelope, json: &str) -> io::Result<()> {
    match envelope {
        Envelope::Message { topic, id, event, data } if !args.json => {
            return print(&envelope::line(SystemTime::now(), topic, id.as_deref(), event, data));
        }
        Envelope::Reset { topic, reason, .. } => {
            tell(&format!("{topic}: reset ({reason}); messages may be missing before the next one"));
        }
        Envelope::Error { code, message, topic } => {
            let about = topic.as_deref().map(|topic| format!("{topic}: ")).unwrap_or_default();
            tell(&format!("{about}{message} ({code})"));
        }
        Envelope::Message { .. } | Envelope::Close(_) | Envelope::Other => {}
    }
    // A program that reads needs to know of resets as well.
    match envelope {
        Envelope::Message { .. } | Envelope::Reset { .. } if args.json => print(json),
        _ => Ok(()),
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Says something beside the messages.
#[expect(clippy::print_stderr, reason = "this is where the command tells what is no message")]
fn tell(what: &str) {
    eprintln!("{} {what}", envelope::clock(SystemTime::now()));
}
