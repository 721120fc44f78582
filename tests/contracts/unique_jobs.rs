//! What every queue holds of jobs of which one at a time is enough: one holds the claim, and a tick fires once.

use std::time::Duration;

use scorewire_core::domain::{JobId, Micros};
use scorewire_core::ports::{
    Clock, Enqueued, JobKind, JobRecord, JobState, NewJob, SLOT_AHEAD_US, SystemClock, UniqueJobs,
};

use super::queue::WorkedQueue;
use super::{at_once, suite};
use crate::support::eventually;

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_queue,
        redis_streams: crate::contracts::adapters::redis_queue,
    }
    rules {
        a_queued_job_is_there_whole,
        of_many_at_once_with_one_claim_one_is_queued,
        claims_of_other_names_and_kinds_are_others,
        a_finished_job_gives_its_claim_back,
        a_stranger_gives_no_claim_back,
        a_claim_ends_by_itself,
        a_job_that_is_gone_holds_no_claim,
        a_failed_job_keeps_its_claim,
        a_job_in_hand_may_hold_its_claim_longer,
        a_job_can_not_hold_what_another_holds,
        a_waiting_job_carries_what_replaced_it,
        a_job_in_hand_is_not_replaced,
        a_slot_fires_once_whatever_the_number_of_processes,
        a_slot_never_goes_back_and_is_taken_by_a_skipped_tick,
        a_clock_set_back_does_not_stop_the_ticks,
        another_process_sees_claims_and_slots,
    }
}

const HOUR: i64 = SLOT_AHEAD_US;

/// A time this far from now.
fn after(micros: i64) -> Micros {
    Micros(SystemClock.now().0 + micros)
}

/// A request for a job: its claim lasts an hour, and no tick fired it.
fn job(claim: &str, payload: &str) -> NewJob {
    NewJob {
        kind: JobKind::Fetch,
        claim: claim.to_owned(),
        payload: payload.as_bytes().to_vec(),
        claim_until: after(HOUR),
        slot: None,
        replaces: false,
    }
}

fn tick(claim: &str, slot: i64) -> NewJob {
    NewJob { slot: Some(Micros(slot)), ..job(claim, "tick") }
}

async fn enqueue(jobs: &dyn UniqueJobs, job: NewJob) -> Enqueued {
    jobs.enqueue(job).await.expect("an answer")
}

async fn queued(worked: &dyn WorkedQueue, job: NewJob) -> JobId {
    match enqueue(worked.unique_jobs(), job).await {
        Enqueued::Queued(id) => id,
        other => panic!("queued: {other:?}"),
    }
}

async fn finished(worked: &dyn WorkedQueue, claim: &str, job: &JobId) {
    worked.unique_jobs().finished(JobKind::Fetch, claim, job).await.expect("given back");
}

async fn hold(worked: &dyn WorkedQueue, claim: &str, job: &JobId, until: Micros) -> bool {
    worked.unique_jobs().hold(JobKind::Fetch, claim, job, until).await.expect("an answer")
}

async fn find(worked: &dyn WorkedQueue, id: &JobId) -> JobRecord {
    worked.inspector().find(id.as_str()).await.expect("an answer").expect("it is there")
}

async fn depth(worked: &dyn WorkedQueue, kind: JobKind) -> u64 {
    worked.queue().stats(kind).await.expect("statistics").depth
}

async fn a_queued_job_is_there_whole(worked: &dyn WorkedQueue) {
    for payload in ["{\"v\":1}", "", "李\u{0}'\""] {
        let id = queued(worked, job(&format!("feed {}", payload.len()), payload)).await;
        let found = find(worked, &id).await;
        assert_eq!((found.kind, found.state, found.attempts), (JobKind::Fetch, JobState::Queued, 0));
        assert_eq!((found.job, found.updates), (id, None));
        assert_eq!(found.payload, payload.as_bytes());
        assert!(found.accepted_at.is_some(), "its id says when it was made");
    }
    assert_eq!((depth(worked, JobKind::Fetch).await, depth(worked, JobKind::Scores).await), (3, 0));
}

async fn of_many_at_once_with_one_claim_one_is_queued(worked: &dyn WorkedQueue) {
    let other = worked.another_process().await;
    let answers = at_once(16, |n| {
        let jobs = if n % 2 == 0 { worked.unique_jobs() } else { &*other };
        enqueue(jobs, job("a", "payload"))
    });
    let id = answers.iter().find_map(|answer| match answer {
        Enqueued::Queued(id) => Some(id.clone()),
        _ => None,
    });
    let id = id.expect("one is queued");
    let claimed = answers.iter().filter(|answer| **answer == Enqueued::Claimed(id.clone())).count();
    assert_eq!((claimed, depth(worked, JobKind::Fetch).await), (15, 1), "{answers:?}");
}

async fn claims_of_other_names_and_kinds_are_others(worked: &dyn WorkedQueue) {
    for claim in ["a", "b", "a:b", ""] {
        queued(worked, job(claim, "payload")).await;
    }
    queued(worked, NewJob { kind: JobKind::Scores, ..job("a", "payload") }).await;
    assert_eq!((depth(worked, JobKind::Fetch).await, depth(worked, JobKind::Scores).await), (4, 1));
}

async fn a_finished_job_gives_its_claim_back(worked: &dyn WorkedQueue) {
    for _ in 0..3 {
        let id = queued(worked, job("a", "payload")).await;
        worked.take_all_in_hand().await;
        assert_eq!(enqueue(worked.unique_jobs(), job("a", "payload")).await, Enqueued::Claimed(id.clone()));
        // Before it is acknowledged.
        finished(worked, "a", &id).await;
    }
    assert_eq!(depth(worked, JobKind::Fetch).await, 3, "a claim is not the job");
}

async fn a_stranger_gives_no_claim_back(worked: &dyn WorkedQueue) {
    let first = queued(worked, job("a", "payload")).await;
    finished(worked, "a", &first).await;
    let second = queued(worked, job("a", "payload")).await;
    for stranger in [&first, &JobId::new("01NOBODY"), &JobId::new("")] {
        finished(worked, "a", stranger).await;
    }
    finished(worked, "b", &second).await;
    worked.unique_jobs().finished(JobKind::Scores, "a", &second).await.expect("nothing to give back");
    assert_eq!(enqueue(worked.unique_jobs(), job("a", "payload")).await, Enqueued::Claimed(second));
}

async fn a_claim_ends_by_itself(worked: &dyn WorkedQueue) {
    let ended = queued(worked, NewJob { claim_until: after(-1), ..job("a", "payload") }).await;
    let brief = queued(worked, NewJob { claim_until: after(300_000), ..job("a", "payload") }).await;
    assert_ne!(ended, brief);
    let answer = enqueue(worked.unique_jobs(), job("a", "payload")).await;
    assert!(answer == Enqueued::Claimed(brief.clone()) || matches!(answer, Enqueued::Queued(_)), "{answer:?}");
    if answer == Enqueued::Claimed(brief) {
        eventually("the claim's end", || async {
            let answer = enqueue(worked.unique_jobs(), job("a", "payload")).await;
            matches!(answer, Enqueued::Queued(_)).then_some(())
        })
        .await;
    }
    assert_eq!(depth(worked, JobKind::Fetch).await, 3);
}

async fn a_job_that_is_gone_holds_no_claim(worked: &dyn WorkedQueue) {
    let first = queued(worked, job("a", "payload")).await;
    worked.finish_all().await;
    let second = queued(worked, job("a", "payload")).await;
    assert_ne!(first, second, "nobody gave the claim back, and yet it was free");
    assert_eq!(depth(worked, JobKind::Fetch).await, 1);
}

async fn a_failed_job_keeps_its_claim(worked: &dyn WorkedQueue) {
    let id = queued(worked, job("a", "payload")).await;
    worked.queue().delay(JobKind::Fetch, &id, Duration::from_secs(3_600)).await.expect("delayed");
    worked.fail_all("the source said no").await;
    let failed = find(worked, &id).await;
    assert_eq!((failed.state, failed.attempts), (JobState::Retrying, 1));
    assert_eq!(failed.last_error.as_deref(), Some("the source said no"));
    assert_eq!(enqueue(worked.unique_jobs(), job("a", "payload")).await, Enqueued::Claimed(id));
}

async fn a_job_in_hand_may_hold_its_claim_longer(worked: &dyn WorkedQueue) {
    let id = queued(worked, NewJob { claim_until: after(-1), ..job("a", "payload") }).await;
    worked.take_all_in_hand().await;
    assert!(hold(worked, "a", &id, after(HOUR)).await, "nobody else took it meanwhile");
    assert_eq!(enqueue(worked.unique_jobs(), job("a", "payload")).await, Enqueued::Claimed(id.clone()));
    assert!(hold(worked, "a", &id, after(-1)).await, "or shorter");
    queued(worked, job("a", "payload")).await;
    assert!(hold(worked, "never claimed", &id, after(HOUR)).await);
    assert_eq!(enqueue(worked.unique_jobs(), job("never claimed", "payload")).await, Enqueued::Claimed(id));
}

async fn a_job_can_not_hold_what_another_holds(worked: &dyn WorkedQueue) {
    let late = queued(worked, NewJob { claim_until: after(-1), ..job("a", "payload") }).await;
    let next = queued(worked, job("a", "payload")).await;
    assert!(!hold(worked, "a", &late, after(HOUR)).await);
    assert_eq!(enqueue(worked.unique_jobs(), job("a", "payload")).await, Enqueued::Claimed(next.clone()));
    finished(worked, "a", &next).await;
    assert!(hold(worked, "a", &late, after(HOUR)).await, "given back, it is free for the late one");
    assert!(!hold(worked, "a", &next, after(HOUR)).await);
}

async fn a_waiting_job_carries_what_replaced_it(worked: &dyn WorkedQueue) {
    let id = queued(worked, NewJob { claim_until: after(-1), ..job("other", "other") }).await;
    let id_a = queued(worked, job("a", "first")).await;
    let replacing = |payload: &str| NewJob { replaces: true, ..job("a", payload) };
    assert_eq!(enqueue(worked.unique_jobs(), job("a", "not replacing")).await, Enqueued::Claimed(id_a.clone()));
    assert_eq!(find(worked, &id_a).await.payload, b"first");
    assert_eq!(enqueue(worked.unique_jobs(), replacing("second")).await, Enqueued::Claimed(id_a.clone()));
    assert_eq!(find(worked, &id_a).await.payload, b"second");
    worked.fail_all("the source said no").await;
    assert_eq!(enqueue(worked.unique_jobs(), replacing("third")).await, Enqueued::Claimed(id_a.clone()));
    let found = find(worked, &id_a).await;
    assert_eq!((found.payload.as_slice(), found.attempts), (&b"third"[..], 1), "it waits for its next try");
    assert_eq!(find(worked, &id).await.payload, b"other", "others are left alone");
    assert_eq!(depth(worked, JobKind::Fetch).await, 2);
}

async fn a_job_in_hand_is_not_replaced(worked: &dyn WorkedQueue) {
    let id = queued(worked, job("a", "first")).await;
    worked.take_all_in_hand().await;
    queued(worked, job("b", "waits behind it")).await;
    let replacing = NewJob { replaces: true, ..job("a", "second") };
    assert_eq!(enqueue(worked.unique_jobs(), replacing).await, Enqueued::Claimed(id.clone()));
    assert_eq!(find(worked, &id).await.payload, b"first");
}

async fn a_slot_fires_once_whatever_the_number_of_processes(worked: &dyn WorkedQueue) {
    let other = worked.another_process().await;
    for slot in 1..=3 {
        let answers = at_once(12, |n| {
            let jobs = if n % 2 == 0 { worked.unique_jobs() } else { &*other };
            enqueue(jobs, tick("a", slot * 10_000_000))
        });
        let fired: Vec<_> = answers.iter().filter(|answer| **answer != Enqueued::SlotTaken).collect();
        let [Enqueued::Queued(id)] = &fired[..] else { panic!("one is queued: {answers:?}") };
        finished(worked, "a", id).await;
    }
    assert_eq!(depth(worked, JobKind::Fetch).await, 3);
}

async fn a_slot_never_goes_back_and_is_taken_by_a_skipped_tick(worked: &dyn WorkedQueue) {
    let fired = |slot| enqueue(worked.unique_jobs(), tick("a", slot));
    let first = queued(worked, tick("a", 1_000)).await;
    assert_eq!(fired(2_000).await, Enqueued::Claimed(first.clone()), "it is skipped,");
    finished(worked, "a", &first).await;
    for past in [2_000, 1_500, 1_000, 0, -1] {
        assert_eq!(fired(past).await, Enqueued::SlotTaken, "and not fired late: {past}");
    }
    assert_eq!(depth(worked, JobKind::Fetch).await, 1);
    queued(worked, tick("b", 1_000)).await;
    queued(worked, tick("a", 2_001)).await;
    worked.finish_all().await;
    assert_eq!(fired(2_001).await, Enqueued::SlotTaken, "whatever becomes of its job");
    queued(worked, job("a", "a person's request")).await;
}

async fn a_clock_set_back_does_not_stop_the_ticks(worked: &dyn WorkedQueue) {
    let today = 1_700_000_000_000_000;
    let first = queued(worked, tick("a", today)).await;
    finished(worked, "a", &first).await;
    assert_eq!(enqueue(worked.unique_jobs(), tick("a", today - SLOT_AHEAD_US)).await, Enqueued::SlotTaken);
    let again = queued(worked, tick("a", today - SLOT_AHEAD_US - 1)).await;
    finished(worked, "a", &again).await;
    assert_eq!(enqueue(worked.unique_jobs(), tick("a", today - SLOT_AHEAD_US - 1)).await, Enqueued::SlotTaken);
    queued(worked, tick("a", today - SLOT_AHEAD_US)).await;
}

async fn another_process_sees_claims_and_slots(worked: &dyn WorkedQueue) {
    let id = queued(worked, tick("a", 1_000)).await;
    let other = worked.another_process().await;
    assert_eq!(enqueue(&*other, job("a", "payload")).await, Enqueued::Claimed(id.clone()));
    other.finished(JobKind::Fetch, "a", &id).await.expect("given back");
    assert_eq!(enqueue(&*other, tick("a", 1_000)).await, Enqueued::SlotTaken);
    assert!(matches!(enqueue(&*other, tick("a", 1_001)).await, Enqueued::Queued(_)));
}
