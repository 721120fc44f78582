//! Each fault of a source is told apart, costs little, harms no other feed and heals.

use tokio::process::Command;

use super::{FAULTS, KEY, Upstreams, check, check_command, run};

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told_apart_and_harms_no_other_feed() {
    let upstreams = Upstreams::start(&[]).await;
    for (service, sick, well) in [("reqres", "match", "btc-usd"), ("coindesk", "btc-usd", "match")] {
        for (fault, outcome) in FAULTS {
            upstreams.fault(service, fault).await;
            let patience = [("SCOREWIRE_SOURCE_TIMEOUT", if fault == "slow" { "1s" } else { "20s" })];
            let said = check(upstreams.dir.path(), &["--json"], &patience).await;
            assert_eq!(
                (said.outcome(sick).as_str(), said.outcome(well).as_str()),
                (outcome, "value"),
                "{fault}: {said:?}"
            );
            assert_eq!(said.status, 1, "{said:?}");
        }
        upstreams.fault(service, "none").await;
        let said = upstreams.check(&["--json"]).await;
        assert_eq!((said.status, said.outcome(sick).as_str()), (0, "value"), "it heals: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_under_a_good_status_is_found_by_the_feeds_filter() {
    let upstreams = Upstreams::start(&["--fault", "coindesk=hidden-error"]).await;
    let said = upstreams.check(&["btc-usd"]).await;
    assert!(said.status == 1 && said.out.contains("source-error: the market is closed"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_is_said() {
    let upstreams = Upstreams::start(&["--key", "another"]).await;
    let said = upstreams.check(&["--json"]).await;
    assert_eq!((said.outcome("match").as_str(), said.outcome("btc-usd").as_str()), ("unauthorized", "unauthorized"));
    assert!(!said.out.contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_from_nobody_in_time() {
    let upstreams = Upstreams::start(&[]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    upstreams.configure(&format!("[[feeds]]\nname = \"a\"\nurl = \"http://{closed}/\""));
    let said = upstreams.check(&["--json"]).await;
    assert_eq!((said.status, said.outcome("a").as_str()), (1, "unreachable"), "{said:?}");
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let variables = [("SOURCE_URL", url.as_str()), ("SCOREWIRE_SOURCE_TIMEOUT", "300ms")];
    let said = check(tempfile::tempdir().expect("a directory").path(), &["--json"], &variables).await;
    assert_eq!(said.outcome("match"), "timeout", "{said:?}");
    // TLS with who does not speak it.
    let url = upstreams.url.replace("http:", "https:");
    let said = check(tempfile::tempdir().expect("a directory").path(), &["--json"], &[("SOURCE_URL", &url)]).await;
    assert_eq!(said.outcome("match"), "unreachable", "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_gigabytes_cost_little_memory_and_are_not_read_to_their_end() {
    let upstreams = Upstreams::start(&["--fault", "reqres=huge", "--fault", "coindesk=huge-gzip"]).await;
    let check = check_command(upstreams.dir.path(), &["--json"], &[]);
    // 128 MB of data at most, both feeds and their threads included.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -d 131072; exec \"$0\" \"$@\""]);
    shell.arg(check.as_std().get_program()).args(check.as_std().get_args());
    shell.current_dir(upstreams.dir.path()).env_clear().env("COINDESK_API_KEY", KEY);
    let said = run(shell).await;
    for feed in ["match", "btc-usd"] {
        assert_eq!(said.outcome(feed), "too-large", "{said:?}");
        let read = said.tries(feed)[0]["bytes"].as_u64().expect("a number");
        assert!((4 << 20..16 << 20).contains(&read), "{feed}: {read} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_keeps_failing_is_left_alone_and_probed() {
    let upstreams = Upstreams::start(&["--fault", "reqres=500"]).await;
    let said = upstreams.check(&["match", "--json", "--times", "12"]).await;
    let left_alone = said.tries("match").iter().filter(|line| line["outcome"] == "left-alone").count();
    let asked = said.tries("match").iter().filter(|line| line["outcome"] == "server-error").count();
    assert!(left_alone >= 2 && asked >= 4 && left_alone + asked == 12, "{said:?}");
    assert_eq!(upstreams.requests("reqres").await, asked as u64);
    assert_eq!(said.status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_be_left_alone_is_heeded_from_the_first() {
    let upstreams = Upstreams::start(&["--fault", "reqres=429"]).await;
    // The wish is five seconds; the beats are over in one.
    let said = upstreams.check(&["match", "--json", "--times", "6"]).await;
    let tries = said.tries("match");
    assert_eq!((&tries[0]["outcome"], &tries[0]["retry_after"]), (&"rate-limited".into(), &5.into()), "{said:?}");
    assert!(tries[1..].iter().all(|line| line["outcome"] == "left-alone"), "{said:?}");
    assert_eq!(upstreams.requests("reqres").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_can_not_run_filters_is_said() {
    let upstreams = Upstreams::start(&[]).await;
    for program in ["/bin/true", "/nowhere/scorewire"] {
        let said = check(upstreams.dir.path(), &["--json"], &[("SCOREWIRE_TRANSFORM_PROGRAM", program)]).await;
        assert_eq!((said.status, said.outcome("match").as_str()), (1, "transform-crashed"), "{said:?}");
    }
}
