//! What `scorewire feeds check` says of each try.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use scorewire_core::domain::{Breaker, FetchFailure, Micros};
use scorewire_core::feed_reader::{Fetched, News};
use scorewire_core::settings::Feed;
use serde_json::{Value, json};

/// Prints tries.
pub(super) struct Report {
    /// As lines of JSON.
    pub(super) json: bool,
}

impl Report {
    /// A fetch.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn tried(&self, feed: &Feed, fetched: &Fetched) -> io::Result<()> {
        let Fetched { at, status, bytes, latency, outcome } = fetched;
        if self.json {
            let mut line = json!({
                "feed": feed.name,
                "url": feed.url.to_string(),
                "timestamp": at.unix_seconds(),
                "status": status,
                "bytes": bytes,
                "latency_ms": ms(*latency),
            });
            return print(&with_outcome(&mut line, outcome));
        }
        let answered = status.map_or_else(|| "no answer".to_owned(), |status| format!("{status}, {bytes} bytes"));
        let about = format!("{} {} ({answered}, {:.0} ms)", feed.name, feed.url, ms(*latency));
        print(&in_words(&about, outcome))
    }

    /// A saved answer; says whether it was well.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn saved(&self, feed: &Feed, path: &Path, outcome: &Result<News, FetchFailure>) -> io::Result<bool> {
        if self.json {
            let mut line = json!({ "feed": feed.name, "file": path.display().to_string() });
            print(&with_outcome(&mut line, outcome))?;
        } else {
            print(&in_words(&format!("{} {}", feed.name, path.display()), outcome))?;
        }
        Ok(outcome.is_ok())
    }

    /// A beat on which the source was not asked.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn left_alone(&self, feed: &Feed, breaker: &Breaker, until: Micros, now: Micros) -> io::Result<()> {
        let (wait, failures) = (until.seconds_since(now), breaker.failures());
        if self.json {
            let line = json!({ "feed": feed.name, "outcome": "left-alone", "failures": failures, "seconds": wait });
            return print(&line.to_string());
        }
        print(&format!("{} {}: left alone for another {wait:.1} s after {failures} failures", feed.name, feed.url))
    }
}

/// The line with what came of the try; the message as viewers get it, byte by byte.
fn with_outcome(line: &mut Value, outcome: &Result<News, FetchFailure>) -> String {
    match outcome {
        Ok(news @ News::Value(value, _)) => {
            line["outcome"] = news.slug().into();
            let line = line.to_string();
            let head = line.strip_suffix('}').unwrap_or(&line);
            return format!("{head},\"message\":{value}}}");
        }
        Ok(news) => line["outcome"] = news.slug().into(),
        Err(failure) => {
            line["outcome"] = failure.kind.slug().into();
            line["error"] = failure.message.as_str().into();
            line["retry_after"] = failure.retry_after.map(|wish| wish.as_secs()).into();
        }
    }
    line.to_string()
}

fn in_words(about: &str, outcome: &Result<News, FetchFailure>) -> String {
    match outcome {
        // The message stands on a line of its own, exactly as viewers get it.
        Ok(News::Value(value, _)) => format!("{about}: ok\n{value}"),
        Ok(news) => format!("{about}: {}", news.slug()),
        Err(failure) => format!("{about}: {failure}"),
    }
}

fn ms(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
