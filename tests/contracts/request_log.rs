//! What every log of requests to sources holds: each recorded once, read back whole, newest first, and not for ever.

use std::time::Duration;

use scorewire_core::domain::{FeedName, JobId, Micros};
use scorewire_core::ports::{RequestPage, SourceRequestRecord};

use super::ledger::Books;
use super::{at_once, suite};

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_ledger,
        postgres: crate::contracts::adapters::postgres_ledger,
    }
    rules {
        a_request_reads_back_whole,
        a_request_is_recorded_once_and_never_changes,
        of_many_at_once_with_one_id_one_is_recorded,
        pages_name_every_request_once_newest_first,
        requests_of_a_feed_are_listed_alone,
        a_page_begins_anywhere,
        a_jobs_requests_come_oldest_first,
        requests_are_forgotten_oldest_first_in_chunks,
    }
}

const NOW: i64 = 1_700_000_000_123_456;

fn feed(name: &str) -> FeedName {
    FeedName::parse(name).expect("a name")
}

/// The n-th request, made in the n-th second by the job of its ten.
fn request(n: i64, of: &str) -> SourceRequestRecord {
    SourceRequestRecord {
        id: format!("01J00000000000000000000{n:03}"),
        feed: feed(of),
        url: "https://example.com/prices?key=***".to_owned(),
        at: Micros(NOW + n * 1_000_000),
        status: Some(200),
        latency: Duration::from_micros(12_345),
        bytes: 228,
        outcome: "value".to_owned(),
        detail: None,
        job: JobId::new(format!("01JOB{}", n / 10)),
        attempt: 1,
    }
}

async fn record(books: &dyn Books, requests: &[SourceRequestRecord]) {
    books.record(requests).await.expect("recorded");
}

async fn page(books: &dyn Books, of: Option<&str>, after: Option<&str>, limit: usize) -> RequestPage {
    books.list(of.map(feed).as_ref(), after, limit).await.expect("a page")
}

/// All of them, read in pages of this many.
async fn all(books: &dyn Books, of: Option<&str>, limit: usize) -> Vec<SourceRequestRecord> {
    let (mut requests, mut after) = (Vec::new(), None);
    loop {
        let read = page(books, of, after.as_deref(), limit).await;
        assert!(read.requests.len() <= limit, "{read:?}");
        requests.extend(read.requests);
        after = read.next;
        if after.is_none() {
            return requests;
        }
    }
}

async fn a_request_reads_back_whole(books: &dyn Books) {
    assert_eq!(page(books, None, None, 10).await, RequestPage::default());
    let requests = [
        request(1, "a"),
        SourceRequestRecord {
            status: None,
            latency: Duration::ZERO,
            bytes: 0,
            outcome: "timeout".to_owned(),
            detail: Some("no answer within \"10 s\"; 李 \\ ' \n\u{1}".to_owned()),
            attempt: u32::MAX,
            ..request(2, "b-2")
        },
        SourceRequestRecord {
            status: Some(u16::MAX),
            latency: Duration::from_secs(3_600),
            bytes: i64::MAX.unsigned_abs(),
            url: String::new(),
            detail: Some(String::new()),
            at: Micros(-1),
            ..request(3, "a")
        },
    ];
    record(books, &requests).await;
    let expected: Vec<_> = requests.iter().rev().cloned().collect();
    assert_eq!(page(books, None, None, 10).await, RequestPage { requests: expected, next: None });
    let with_nul = SourceRequestRecord { detail: Some("a\0b".to_owned()), ..request(4, "a") };
    record(books, &[with_nul]).await;
    let read = page(books, None, None, 1).await.requests.remove(0);
    assert_eq!(read, SourceRequestRecord { detail: Some("a\u{fffd}b".to_owned()), ..request(4, "a") });
}

async fn a_request_is_recorded_once_and_never_changes(books: &dyn Books) {
    record(books, &[]).await;
    let first = request(1, "a");
    let other = SourceRequestRecord { outcome: "other".to_owned(), feed: feed("b"), ..first.clone() };
    record(books, &[first.clone(), other.clone()]).await;
    record(books, &[other.clone(), request(2, "a"), other]).await;
    assert_eq!(all(books, None, 10).await, [request(2, "a"), first]);
}

async fn of_many_at_once_with_one_id_one_is_recorded(books: &dyn Books) {
    at_once(8, |n| async move {
        let own = SourceRequestRecord { bytes: n as u64, ..request(100 + n as i64, "a") };
        let shared = SourceRequestRecord { bytes: n as u64, ..request(1, "a") };
        record(books, &[own, shared]).await;
    });
    assert_eq!(all(books, None, 100).await.len(), 9);
}

async fn pages_name_every_request_once_newest_first(books: &dyn Books) {
    let requests: Vec<_> = (1..=24).map(|n| request(n, if n % 3 == 0 { "a" } else { "b" })).collect();
    // Those of several processes come in any order.
    for chunk in requests.rchunks(5) {
        record(books, chunk).await;
    }
    let expected: Vec<_> = requests.iter().rev().cloned().collect();
    for limit in [1, 5, 23, 24, 25] {
        assert_eq!(all(books, None, limit).await, expected, "in pages of {limit}");
    }
    let first = page(books, None, None, 5).await;
    record(books, &[request(25, "a")]).await;
    let second = page(books, None, first.next.as_deref(), 5).await;
    assert_eq!(second.requests, expected[5..10], "what comes meanwhile is not of the next page");
}

async fn requests_of_a_feed_are_listed_alone(books: &dyn Books) {
    let requests: Vec<_> = (1..=12).map(|n| request(n, if n % 3 == 0 { "a" } else { "a-b" })).collect();
    record(books, &requests).await;
    for (name, count) in [("a", 4), ("a-b", 8), ("b", 0)] {
        let expected: Vec<_> = requests.iter().rev().filter(|r| r.feed.as_str() == name).cloned().collect();
        assert_eq!(expected.len(), count);
        for limit in [1, 3, 100] {
            assert_eq!(all(books, Some(name), limit).await, expected, "{name} in pages of {limit}");
        }
    }
}

async fn a_page_begins_anywhere(books: &dyn Books) {
    record(books, &[request(1, "a"), request(3, "a")]).await;
    assert_eq!(page(books, None, Some(&request(2, "a").id), 10).await.requests, [request(1, "a")]);
    for (before_all, garbage) in [(true, ""), (true, "' OR 1=1 --"), (false, "z"), (false, "\0"), (false, "李")] {
        let read = page(books, None, Some(garbage), 10).await.requests.len();
        assert_eq!(read, if before_all { 0 } else { 2 }, "{garbage:?}");
    }
}

async fn a_jobs_requests_come_oldest_first(books: &dyn Books) {
    let requests: Vec<_> = (1..=25).map(|n| request(n, "a")).collect();
    record(books, &requests[10..]).await;
    record(books, &requests[..10]).await;
    let of_job = async |job: &str| books.of_job(&JobId::new(job)).await.expect("readable");
    assert_eq!(of_job("01JOB1").await, requests[9..19]);
    for nobodys in ["01JOB", "", "\0", "李"] {
        assert_eq!(of_job(nobodys).await, []);
    }
}

async fn requests_are_forgotten_oldest_first_in_chunks(books: &dyn Books) {
    let requests: Vec<_> = (1..=6).map(|n| request(n, "a")).collect();
    record(books, &requests).await;
    let forget = async |before| books.forget(Micros(before), 2).await.expect("forgotten");
    assert_eq!(forget(requests[0].at.0).await, 0, "none is older");
    assert_eq!(forget(requests[5].at.0).await, 2);
    let left: Vec<_> = requests[2..].iter().rev().cloned().collect();
    assert_eq!(all(books, None, 10).await, left, "the oldest went");
    assert_eq!(
        [forget(requests[5].at.0).await, forget(requests[5].at.0).await, forget(requests[5].at.0).await],
        [2, 1, 0]
    );
    assert_eq!(all(books, None, 10).await, [requests[5].clone()]);
    record(books, &requests[..1]).await;
    assert_eq!(all(books, None, 10).await.len(), 2, "what was forgotten may be recorded again");
}
