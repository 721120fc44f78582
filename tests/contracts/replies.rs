//! What replies hold: an answer reaches the waiter of its ticket, and no other; nobody waits for ever in the books.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use prometheus_client::metrics::gauge::Gauge;
use scorewire_core::domain::ReplyTo;
use scorewire_core::ports::{Replies, Waiter};

use super::{at_once, suite};
use crate::support::{eventually, within};

/// Requests that may wait at a time in each process.
pub(super) const PLACES: usize = 1_000;

/// Two processes of a deployment; they are one and the same where an adapter serves only one.
pub(super) struct Processes {
    pub(super) waiting: Arc<dyn Replies>,
    pub(super) deciding: Arc<dyn Replies>,
    /// Requests that wait in the first.
    pub(super) gauge: Gauge,
}

suite! {
    adapters {
        memory: crate::contracts::adapters::memory_replies,
        redis: crate::contracts::adapters::redis_replies,
    }
    rules {
        an_answer_reaches_its_waiter_and_no_other,
        an_answer_that_comes_before_its_waiter_listens_is_kept,
        a_waiter_may_be_told_again,
        a_thousand_waiters_are_all_told,
        a_process_answers_itself,
        a_dropped_waiter_leaves_nothing_behind,
        no_more_wait_than_may,
        answers_to_nobody_change_nothing,
    }
}

fn expect(replies: &dyn Replies) -> Waiter {
    replies.expect().expect("a place")
}

fn ticket(waiter: &Waiter) -> ReplyTo {
    waiter.reply_to().clone()
}

async fn an_answer_reaches_its_waiter_and_no_other(processes: &Processes) {
    let waiters: Vec<_> = (0..3).map(|_| expect(&*processes.waiting)).collect();
    processes.deciding.answer(&[ticket(&waiters[1])]);
    within("an answer", waiters[1].told()).await;
    assert!(waiters[0].told().now_or_never().is_none() && waiters[2].told().now_or_never().is_none());
    processes.deciding.answer(&[ticket(&waiters[2]), ticket(&waiters[0])]);
    within("an answer", waiters[0].told()).await;
    within("an answer", waiters[2].told()).await;
}

async fn an_answer_that_comes_before_its_waiter_listens_is_kept(processes: &Processes) {
    let (early, late) = (expect(&*processes.waiting), expect(&*processes.waiting));
    processes.deciding.answer(&[ticket(&early)]);
    // Answers of one process come in order: when the second is there, so is the first.
    processes.deciding.answer(&[ticket(&late)]);
    within("an answer", late.told()).await;
    assert!(early.told().now_or_never().is_some());
}

async fn a_waiter_may_be_told_again(processes: &Processes) {
    let waiter = expect(&*processes.waiting);
    for _ in 0..3 {
        processes.deciding.answer(&[ticket(&waiter)]);
        within("an answer", waiter.told()).await;
        assert!(waiter.told().now_or_never().is_none(), "each answer tells once");
    }
}

async fn a_thousand_waiters_are_all_told(processes: &Processes) {
    let told = at_once(8, |_| async {
        let waiters: Vec<_> = (0..PLACES / 8).map(|_| expect(&*processes.waiting)).collect();
        let tickets: Vec<_> = waiters.iter().map(ticket).collect();
        for some in tickets.chunks(7) {
            processes.deciding.answer(some);
        }
        for waiter in &waiters {
            within("an answer", waiter.told()).await;
        }
        tickets
    });
    let distinct: HashSet<_> = told.iter().flatten().collect();
    assert_eq!(distinct.len(), PLACES, "every ticket is another");
    assert_eq!(processes.gauge.get(), 0);
}

async fn a_process_answers_itself(processes: &Processes) {
    let waiter = expect(&*processes.waiting);
    processes.waiting.answer(&[ticket(&waiter)]);
    within("an answer", waiter.told()).await;
}

async fn a_dropped_waiter_leaves_nothing_behind(processes: &Processes) {
    let (gone, stays) = (expect(&*processes.waiting), expect(&*processes.waiting));
    assert_eq!(processes.gauge.get(), 2);
    let tickets = [ticket(&gone), ticket(&stays)];
    drop(gone);
    assert_eq!(processes.gauge.get(), 1);
    processes.deciding.answer(&tickets);
    within("an answer", stays.told()).await;
    drop(stays);
    assert_eq!(processes.gauge.get(), 0);
}

async fn no_more_wait_than_may(processes: &Processes) {
    let mut waiters: Vec<_> = (0..PLACES).map(|_| expect(&*processes.waiting)).collect();
    assert!(processes.waiting.expect().is_none());
    let last = waiters.pop().map(|waiter| ticket(&waiter));
    let next = expect(&*processes.waiting);
    assert_ne!(last.as_ref(), Some(next.reply_to()), "a place is given again, a ticket never");
    // The place's last holder can not be told any more, its new one can.
    processes.deciding.answer(&[last.expect("a ticket"), ticket(&next)]);
    within("an answer", next.told()).await;
}

async fn answers_to_nobody_change_nothing(processes: &Processes) {
    let waiter = expect(&*processes.waiting);
    let (process, number) = waiter.reply_to().parts().expect("a ticket");
    let strangers = [ReplyTo::new("0123456789abcdef", number), ReplyTo::new(process, number + 1)];
    let garbage: Vec<ReplyTo> = ["", "/", "x", "x/y", " / "]
        .iter()
        .map(|text| serde_json::from_value(serde_json::Value::from(*text)).expect("any text is read"))
        .collect();
    processes.deciding.answer(&[]);
    processes.deciding.answer(&strangers);
    processes.deciding.answer(&garbage);
    let other = expect(&*processes.waiting);
    // Nobody had this number yet when it was answered; whether that is remembered is up to the adapter.
    assert_ne!(other.reply_to(), waiter.reply_to());
    let last = expect(&*processes.waiting);
    processes.deciding.answer(&[ticket(&last)]);
    within("an answer", last.told()).await;
    assert!(waiter.told().now_or_never().is_none());
    drop((waiter, other, last));
    eventually("nobody to wait", || async { (processes.gauge.get() == 0).then_some(()) }).await;
}
