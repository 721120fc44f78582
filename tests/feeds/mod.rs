//! Feeds before imitated sources: what `scorewire feeds check` makes of good answers, faults and runaway filters.

mod asked;
mod checking;
mod faults;
mod filters;
mod healing;
mod jobs;
mod redirects;
mod request_log;
mod served;
mod upstreams;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::within;

/// Faults of imitated services, and what becomes of a fetch.
const FAULTS: [(&str, &str); 11] = [
    ("401", "unauthorized"),
    ("403", "forbidden"),
    ("429", "rate-limited"),
    ("500", "server-error"),
    ("cut", "cut-off"),
    ("garbage", "garbage"),
    ("huge", "too-large"),
    ("huge-gzip", "too-large"),
    ("redirect-loop", "redirects"),
    ("other-shape", "transform-failed"),
    ("slow", "timeout"),
];

const KEY: &str = "k3y-of-the-test";

/// What `feeds check` said.
#[derive(Debug)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    /// Its lines of JSON about a feed.
    fn tries(&self, feed: &str) -> Vec<Value> {
        let lines = self.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        let tries: Vec<Value> = lines.filter(|line: &Value| line["feed"] == feed).collect();
        assert!(!tries.is_empty(), "nothing about {feed}: {self:?}");
        tries
    }

    /// What came of the last try of a feed.
    fn outcome(&self, feed: &str) -> String {
        self.tries(feed).last().expect("a try")["outcome"].as_str().expect("an outcome").to_owned()
    }
}

/// The imitated services in a process of their own, and a folder with settings for them.
pub(crate) struct Upstreams {
    pub(crate) url: String,
    dir: TempDir,
    _process: Child,
}

impl Upstreams {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
        command.args(["upstreams", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut process = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let first = within("the services to listen", lines.next_line()).await.expect("text").expect("a line");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let url = first.split_once(" listens on ").expect("where").1.replace("localhost", "127.0.0.1");
        let upstreams = Self { url, dir: tempfile::tempdir().expect("a directory"), _process: process };
        upstreams.configure(&upstreams.both(""));
        upstreams
    }

    /// The feeds of the issue with their keys, and more lines for both.
    fn both(&self, more: &str) -> String {
        let of_match = format!("headers = {{ x-api-key = \"{KEY}\" }}\n{more}");
        let of_btc = format!("headers = {{ Authorization = \"Apikey ${{COINDESK_API_KEY}}\" }}\n{more}");
        tables(&self.url, &of_match, &of_btc)
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.dir.path().join("scorewire.toml"), text).expect("settings");
    }

    /// Switches a service's fault.
    pub(crate) async fn fault(&self, service: &str, fault: &str) {
        let body = serde_json::json!({ "fault": fault }).to_string();
        let post = client().post(format!("{}/faults/{service}", self.url)).body(body).send().await;
        assert_eq!(post.expect("an answer").status(), 200);
    }

    /// How often a service was asked.
    pub(crate) async fn requests(&self, service: &str) -> u64 {
        let answer = client().get(format!("{}/requests", self.url)).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")[service].as_u64().expect("a number")
    }

    /// When a service was asked, in µs since 1970.
    pub(crate) async fn times(&self, service: &str) -> Vec<i64> {
        let answer = client().get(format!("{}/requests/{service}", self.url)).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    async fn check(&self, arguments: &[&str]) -> Said {
        check(self.dir.path(), arguments, &[]).await
    }
}

/// The feeds of the issue as a server without environment has them, with more lines for both.
pub(crate) fn served_feeds(url: &str, more: &str) -> String {
    tables(url, more, more)
}

fn tables(url: &str, of_match: &str, of_btc: &str) -> String {
    format!(
        r#"
[[feeds]]
name = "match"
url = "{url}/api/users/2"
fetch_every = "100ms"
transform = '.data | {{username: (.email/"@")[0], domain: (.email/"@")[1], name: ("\(.first_name) \(.last_name)" | ascii_downcase)}}'
{of_match}
[[feeds]]
name = "btc-usd"
url = "{url}/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD"
fetch_every = "100ms"
transform = '{{price: .Data["BTC-USD"].VALUE, at: .Data["BTC-USD"].VALUE_LAST_UPDATE_TS}}'
error = '.Err.message // empty'
dedupe = '.Data["BTC-USD"].CCSEQ'
{of_btc}
"#
    )
}

fn client() -> reqwest::Client {
    scorewire_core::tls::install_provider();
    reqwest::Client::new()
}

/// `scorewire feeds check` in a folder, with these variables and the key.
async fn check(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    run(check_command(dir, arguments, variables)).await
}

fn check_command(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorewire"));
    command.args(["feeds", "check"]).args(arguments);
    command.current_dir(dir).env_clear().env("COINDESK_API_KEY", KEY).envs(variables.iter().copied());
    command
}

async fn run(mut command: Command) -> Said {
    let output = within("the check", command.kill_on_drop(true).output()).await.expect("it runs");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { status: status.code().expect("an exit status"), out: text(stdout), err: text(stderr) }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("not so far away")
}
