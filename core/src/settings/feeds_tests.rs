//! Feeds of files and of plain variables.

use std::path::Path;

use super::*;
use crate::domain::FetchFault;
use crate::settings::Overrides;
use crate::settings::units::Maybe;

fn feeds(text: &str, overrides: Overrides) -> Result<Vec<Feed>, String> {
    let file = SettingsFile::parse(text, Path::new("scorewire.toml")).map_err(|e| e.to_string())?;
    let settings = Settings::resolve(overrides, &file).map_err(|e| e.to_string())?;
    let variable = |name: &str| (name == "COINDESK_API_KEY").then(|| "s3cret".to_owned());
    Feed::all(&settings, &file, &variable).map_err(|e| e.to_string())
}

fn of_file(text: &str) -> Result<Vec<Feed>, String> {
    feeds(text, Overrides::default())
}

fn plain(url: &str) -> Overrides {
    Overrides { source_url: Some(Maybe(Some(Secret(url.to_owned())))), ..Overrides::default() }
}

const BTC: &str = r#"
[[feeds]]
name = "btc-usd"
url = "https://a.example/tick?market=cadli&api_key=${COINDESK_API_KEY}"
headers = { Authorization = "Apikey ${COINDESK_API_KEY}" }
fetch_every = "5s"
transform = '{price: .VALUE}'
error = '.Err.message // empty'
dedupe = '.CCSEQ'
keep = "2h"
keep_messages = 10
"#;

#[test]
fn a_feed_is_read_and_its_secrets_are_not_printed() {
    let feeds = of_file(BTC).expect("a feed");
    let [feed] = feeds.as_slice() else { panic!("{feeds:?}") };
    assert_eq!((feed.name.as_str(), feed.fetch_every), ("btc-usd", Duration::from_secs(5)));
    assert_eq!((feed.transmit_every, feed.keep, feed.keep_messages), (None, Duration::from_secs(7_200), 10));
    assert_eq!(feed.headers["authorization"].as_bytes(), b"Apikey s3cret");
    assert!(feed.url.with_secrets().as_str().ends_with("api_key=s3cret"));
    assert!(!format!("{feed:?}").contains("s3cret"), "{feed:?}");
    let quoted = feed.without_secrets(FetchFailure::new(FetchFault::SourceError, "no such key: s3cret"));
    assert_eq!(quoted.message, "no such key: ***");
}

#[test]
fn a_feed_needs_a_name_and_a_url() {
    let feeds = of_file("[[feeds]]\nname = \"a\"\nurl = \"http://a.example\"").expect("defaults");
    let feed = &feeds[0];
    assert_eq!((feed.fetch_every, feed.transmit_every), (Duration::from_secs(10), None));
    assert_eq!(
        (feed.filters.transform.as_str(), feed.keep, feed.keep_messages),
        (".", Duration::from_secs(3_600), 1_000)
    );
    assert!(of_file("").expect("no feeds").is_empty());
}

#[test]
fn the_plain_variables_make_the_feed_match() {
    let feeds = feeds("", plain("https://reqres.in/api/users/2")).expect("a feed");
    assert_eq!((feeds.len(), feeds[0].name.as_str()), (1, "match"));
    assert_eq!(
        (feeds[0].fetch_every, feeds[0].transmit_every),
        (Duration::from_secs(10), Some(Duration::from_secs(2)))
    );
    assert!(feeds[0].filters.transform.contains("ascii_downcase"));
}

#[test]
fn the_plain_variables_change_the_feed_match_and_no_other() {
    let seconds = |n| Some(Maybe(Some(Span(Duration::from_secs(n)))));
    let overrides = Overrides {
        fetch_interval: seconds(3),
        transmit_interval: seconds(0),
        source_transform: Some(Maybe(Some(".x".to_owned()))),
        ..plain("http://b.example/")
    };
    let text = format!("{BTC}\n[[feeds]]\nname = \"match\"\nurl = \"http://a.example\"\nkeep_messages = 7");
    let feeds = feeds(&text, overrides).expect("two feeds");
    assert_eq!(feeds.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["btc-usd", "match"]);
    assert_eq!((feeds[1].url.to_string().as_str(), feeds[1].keep_messages), ("http://b.example/", 7));
    assert_eq!((feeds[1].fetch_every, feeds[1].transmit_every), (Duration::from_secs(3), None));
    assert_eq!((feeds[1].filters.transform.as_str(), feeds[0].fetch_every), (".x", Duration::from_secs(5)));
}

#[test]
fn mistakes_are_named() {
    let feed = |lines: &str| format!("[[feeds]]\nname = \"a\"\nurl = \"http://a.example\"\n{lines}");
    for (text, said) in [
        (feed("fetch_evry = \"5s\""), "feed a: unknown field `fetch_evry`"),
        (feed("fetch_every = \"5\""), "write it like 250ms"),
        (feed("fetch_every = \"1ms\""), "`feeds.fetch_every` has a value that can not be used: feed a: write a time"),
        (feed("transmit_every = \"1ms\""), "write 0s or a time of at least 100ms"),
        (feed("transform = '.a | nosuch'"), "there is no filter nosuch/0 at line 1, column 6"),
        (feed("error = '('"), "`feeds.error`"),
        (feed("keep_messages = 0"), "write 1 or more"),
        (feed("headers = { \"a b\" = \"c\" }"), "is no header's name"),
        (feed("headers = { a = 1 }"), "is no text"),
        (feed("headers = { a = \"${UNSET}\" }"), "variable UNSET is not set"),
        (format!("{}\n{}", feed(""), feed("")), "two feeds are called a"),
        ("[feeds]\nname = \"a\"".to_owned(), "two brackets"),
        ("[[feeds]]\nname = \"A b\"\nurl = \"http://a\"".to_owned(), "feed A b: a feed's name is 1 to 64"),
        ("[[feeds]]\nname = \"a\"".to_owned(), "missing field `url`"),
        ("[[feeds]]\nurl = \"http://a\"".to_owned(), "feed number 1: missing field `name`"),
        ("[[feeds]]\nname = \"a\"\nurl = \"ftp://a\"".to_owned(), "use http or https"),
    ] {
        let error = of_file(&text).expect_err(&text);
        assert!(error.contains(said), "{error}");
    }
    let alone = Overrides { source_transform: Some(Maybe(Some(".".to_owned()))), ..Overrides::default() };
    assert!(feeds("", alone).expect_err("no feed").contains("set SOURCE_URL"));
}

#[test]
fn a_changed_feed_has_another_fingerprint() {
    let of = |text: &str| of_file(text).expect("a feed")[0].fingerprint();
    assert_eq!(of(BTC), of(&BTC.replace("5s", "6s")), "the same answer, the same value");
    for (before, after) in
        [(".VALUE", ".OTHER"), ("cadli", "x"), ("Apikey", "Bearer"), (".CCSEQ", ".TYPE"), (".Err.message", ".Err.type")]
    {
        assert_ne!(of(BTC), of(&BTC.replace(before, after)), "{before}");
    }
}

#[test]
fn the_default_feed_is_one_that_is_configured() {
    let named = |name: &str| {
        let default_feed = Some(Maybe(Some(name.parse().expect("a name"))));
        feeds(BTC, Overrides { default_feed, ..Overrides::default() })
    };
    assert!(named("btc-usd").is_ok());
    let refused = named("match").expect_err("not configured");
    assert!(refused.contains("default_feed") && refused.contains("there is no feed match"), "{refused}");
}
