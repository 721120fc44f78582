//! One suite of rules per port, crossed with every adapter into tests like
//! `contracts::ledger::sqlite::an_update_is_applied_at_most_once`.
//!
//! A rule is an `async fn` that takes the port and knows nothing of what is behind it; it tests an obligation
//! written on the trait. An adapter joins with a set-up function, which returns a guard that keeps its storage
//! alive and the port, and one line in each suite.

mod adapters;
mod feed_adapters;
mod feed_store;
mod job_kinds;
mod jobs;
mod leases;
mod ledger;
mod queue;
mod rankings;
mod rate_limits;
mod rebuilding;
mod replies;
mod request_log;
mod roster;
mod topics;
mod unique_jobs;

use std::future::Future;

use scorewire_core::domain::{BoardId, Micros, Operator, RequestId, ScoreUpdate, Subject, UpdateId, UserId};

/// Crosses the rules of a suite with its adapters: a module per adapter, a test per rule.
macro_rules! suite {
    (adapters { $($adapter:ident: $set_up:path),+ $(,)? } rules $rules:tt) => {
        $(suite!(@adapter $adapter, $set_up, $rules);)+
    };
    (@adapter $adapter:ident, $set_up:path, { $($rule:ident),+ $(,)? }) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $rule() {
                    // Dropped in reverse order: the port first, then what it stands on.
                    let (_guard, port) = $set_up().await;
                    super::$rule(&*port).await;
                }
            )+
        }
    };
}
use suite;

/// Runs futures truly at the same time, each on a thread of its own; results stand in order of their numbers.
fn at_once<T: Send, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F + Sync) -> Vec<T> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let (runtime, make) = (&runtime, &make);
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || runtime.block_on(make(n)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a rule's thread ends well")).collect()
    })
}

fn user(id: i64) -> UserId {
    UserId::parse(id).expect("an id")
}

/// An update of board `main`.
fn update(id: &str, to: i64, amount: i64) -> ScoreUpdate {
    ScoreUpdate {
        id: UpdateId::new(id),
        board: BoardId::main(),
        user: user(to),
        operator: Operator::Increment(amount),
        accepted_at: Micros(1_700_000_000_000_000),
        submitter: Subject::new("tester"),
        request: RequestId::new("request"),
        reply_to: None,
        attempt: 1,
    }
}
