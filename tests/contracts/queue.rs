//! What every queue holds: accepted once, in one step, found until it is finished, parked once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scorewire_core::domain::{BoardId, JobId, Micros, Operator, RequestId, Subject, UpdateId};
use scorewire_core::ports::{
    Acceptance, DeadLetter, JobInspector, JobKind, NewUpdate, Queue, QueueStats, QueuedState, UniqueJobs,
    UpdateIdentity,
};

use super::{at_once, suite, update, user};
use crate::support::eventually;

/// A queue with a stand-in for its worker.
#[async_trait]
pub(super) trait WorkedQueue: Send + Sync {
    /// The queue.
    fn queue(&self) -> &dyn Queue;
    /// A person's view of it.
    fn inspector(&self) -> &dyn JobInspector;
    /// Jobs of which one at a time is enough.
    fn unique_jobs(&self) -> &dyn UniqueJobs;
    /// The same as another process has it.
    async fn another_process(&self) -> Arc<dyn UniqueJobs>;
    /// Takes every waiting job in hand, as a worker does before it works on them.
    async fn take_all_in_hand(&self);
    /// Acknowledges every job, as a worker does that has applied them.
    async fn finish_all(&self);
    /// Fails every job once, as a worker does that could not apply them.
    async fn fail_all(&self, reason: &str);
    /// Prepares every statement of the adapter on its engine.
    async fn prepare_all(&self) -> Result<(), String>;
}

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_queue,
        redis_streams: crate::contracts::adapters::redis_queue,
    }
    rules {
        an_accepted_update_is_found_whole,
        a_repeated_key_is_replayed_and_queues_nothing,
        a_key_with_another_body_is_refused_and_queues_nothing,
        a_key_repeated_within_a_batch_is_accepted_once,
        answers_stand_in_the_order_of_the_updates,
        of_many_at_once_with_one_key_one_is_accepted,
        keyless_updates_are_all_their_own,
        a_key_outlives_its_job,
        an_unknown_update_is_none,
        a_failed_update_is_retrying_with_its_reason,
        a_delayed_update_is_still_queued,
        parking_twice_changes_nothing,
        a_parked_job_that_could_not_be_read_is_no_update,
        depth_counts_unfinished_jobs,
        the_oldest_job_ages,
        kinds_are_counted_and_parked_apart,
    }
}

// On Redis finished jobs are gone at once and keys expire by themselves: there is nothing to trim or prepare.
mod files {
    use super::{
        every_statement_prepares_on_its_engine, finished_jobs_are_trimmed_in_chunks_and_waiting_ones_stay,
        old_keys_are_trimmed_in_chunks, suite,
    };

    suite! {
        adapters { sqlite: crate::contracts::adapters::sqlite_queue }
        rules {
            every_statement_prepares_on_its_engine,
            finished_jobs_are_trimmed_in_chunks_and_waiting_ones_stay,
            old_keys_are_trimmed_in_chunks,
        }
    }
}

pub(super) const NOW: Micros = Micros(1_700_000_000_000_000);
const END_OF_TIME: Micros = Micros(i64::MAX);
const BEGINNING: Micros = Micros(0);

pub(super) fn new(identity: UpdateIdentity, amount: i64) -> NewUpdate {
    NewUpdate {
        identity,
        board: BoardId::main(),
        user: user(1),
        operator: Operator::Increment(amount),
        accepted_at: NOW,
        submitter: Subject::new("ann"),
        request: RequestId::new("r-1"),
        reply_to: None,
    }
}

fn key(name: &str) -> UpdateId {
    UpdateId::keyed(&Subject::new("ann"), name).expect("a key")
}

fn keyed(name: &str, amount: i64) -> NewUpdate {
    new(UpdateIdentity::Keyed(key(name)), amount)
}

fn keyless(amount: i64) -> NewUpdate {
    new(UpdateIdentity::Keyless, amount)
}

async fn accept(worked: &dyn WorkedQueue, updates: Vec<NewUpdate>) -> Vec<Acceptance> {
    worked.queue().accept(updates).await.expect("an answer")
}

async fn accept_one(worked: &dyn WorkedQueue, update: NewUpdate) -> UpdateId {
    match accept(worked, vec![update]).await.as_slice() {
        [Acceptance::Accepted(id)] => id.clone(),
        other => panic!("accepted: {other:?}"),
    }
}

async fn stats(worked: &dyn WorkedQueue) -> QueueStats {
    worked.queue().stats(JobKind::Scores).await.expect("statistics")
}

async fn state(worked: &dyn WorkedQueue, id: &UpdateId) -> Option<(QueuedState, u32, Option<String>)> {
    let found = worked.queue().find_update(id).await.expect("readable")?;
    assert_eq!(found.update.id, *id);
    Some((found.state, found.attempts, found.last_error))
}

fn letter(id: &str, payload: String, reason: &str) -> DeadLetter {
    let (kind, payload) = (JobKind::Scores, payload.into_bytes());
    DeadLetter { kind, id: id.to_owned(), job: JobId::new("01JOB"), payload, reason: reason.to_owned(), attempts: 3 }
}

async fn every_statement_prepares_on_its_engine(worked: &dyn WorkedQueue) {
    assert_eq!(worked.prepare_all().await, Ok(()));
}

async fn an_accepted_update_is_found_whole(worked: &dyn WorkedQueue) {
    for new in [keyed("k", -7), keyless(8)] {
        let id = accept_one(worked, new.clone()).await;
        let found = worked.queue().find_update(&id).await.expect("readable").expect("queued");
        assert_eq!(found.update, new.accepted_as(id));
        assert_eq!((found.state, found.attempts), (QueuedState::Queued, 0));
        assert_eq!((found.last_error, found.died_at), (None, None));
    }
}

async fn a_repeated_key_is_replayed_and_queues_nothing(worked: &dyn WorkedQueue) {
    let id = accept_one(worked, keyed("k", 5)).await;
    assert_eq!(id, key("k"));
    let later = NewUpdate { accepted_at: Micros(NOW.0 + 1), request: RequestId::new("r-2"), ..keyed("k", 5) };
    for _ in 0..3 {
        assert_eq!(accept(worked, vec![later.clone()]).await, [Acceptance::Replayed(id.clone())]);
    }
    assert_eq!(stats(worked).await.depth, 1);
    let found = worked.queue().find_update(&id).await.expect("readable").expect("queued");
    assert_eq!(found.update.request, RequestId::new("r-1"), "the first one counts");
}

async fn a_key_with_another_body_is_refused_and_queues_nothing(worked: &dyn WorkedQueue) {
    accept_one(worked, keyed("k", 5)).await;
    let of_other_user = NewUpdate { user: user(2), ..keyed("k", 5) };
    let of_other_board = NewUpdate { board: BoardId::new("other"), ..keyed("k", 5) };
    for other in [keyed("k", 6), keyed("k", -5), of_other_user, of_other_board] {
        assert_eq!(accept(worked, vec![other]).await, [Acceptance::KeyReused(key("k"))]);
    }
    assert_eq!(stats(worked).await.depth, 1);
    assert_eq!(accept(worked, vec![keyed("k", 5)]).await, [Acceptance::Replayed(key("k"))]);
}

async fn a_key_repeated_within_a_batch_is_accepted_once(worked: &dyn WorkedQueue) {
    let answers = accept(worked, vec![keyed("k", 5), keyed("k", 5), keyed("k", 6), keyed("k", 5)]).await;
    let k = || key("k");
    let expected =
        [Acceptance::Accepted(k()), Acceptance::Replayed(k()), Acceptance::KeyReused(k()), Acceptance::Replayed(k())];
    assert_eq!(answers, expected);
    let found = worked.queue().find_update(&k()).await.expect("readable").expect("queued");
    assert_eq!(found.update.operator, Operator::Increment(5));
}

async fn answers_stand_in_the_order_of_the_updates(worked: &dyn WorkedQueue) {
    accept_one(worked, keyed("old", 1)).await;
    let batch =
        vec![keyless(1), keyed("old", 1), keyed("new", 2), keyless(3), keyed("old", 9), keyed("new", 2), keyless(4)];
    let answers = accept(worked, batch.clone()).await;
    assert_eq!(answers.len(), batch.len());
    for (n, (answer, new)) in answers.iter().zip(&batch).enumerate() {
        match (n, answer) {
            (0 | 2 | 3 | 6, Acceptance::Accepted(id)) => {
                let found = worked.queue().find_update(id).await.expect("readable").expect("queued");
                assert_eq!(found.update.operator, new.operator, "answer {n}");
            }
            (1, Acceptance::Replayed(id)) | (4, Acceptance::KeyReused(id)) => assert_eq!(*id, key("old")),
            (5, Acceptance::Replayed(id)) => assert_eq!(*id, key("new")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stats(worked).await.depth, 2, "a batch is one job");
}

async fn of_many_at_once_with_one_key_one_is_accepted(worked: &dyn WorkedQueue) {
    let answers = at_once(16, |n| async move {
        let own = keyed(&format!("own-{n}"), 1);
        accept(worked, vec![own, keyed("shared", 5)]).await
    });
    let count = |of: fn(&Acceptance) -> bool| answers.iter().flatten().filter(|answer| of(answer)).count();
    assert_eq!(count(|answer| matches!(answer, Acceptance::Accepted(_))), 17);
    assert_eq!(count(|answer| matches!(answer, Acceptance::Replayed(_))), 15);
    assert_eq!(stats(worked).await.depth, 16);
}

async fn keyless_updates_are_all_their_own(worked: &dyn WorkedQueue) {
    let answers = at_once(8, |_| accept(worked, vec![keyless(1), keyless(1), keyless(1)]));
    let ids: HashSet<_> = answers
        .into_iter()
        .flatten()
        .map(|answer| match answer {
            Acceptance::Accepted(id) => id,
            other => panic!("accepted: {other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 24);
    for id in &ids {
        assert_eq!(state(worked, id).await, Some((QueuedState::Queued, 0, None)));
    }
}

async fn a_key_outlives_its_job(worked: &dyn WorkedQueue) {
    let id = accept_one(worked, keyed("k", 5)).await;
    worked.finish_all().await;
    worked.queue().trim(BEGINNING, 100).await.expect("trimmed");
    assert_eq!(state(worked, &id).await, None, "the ledger knows it now");
    assert_eq!(accept(worked, vec![keyed("k", 5)]).await, [Acceptance::Replayed(id.clone())]);
    assert_eq!(accept(worked, vec![keyed("k", 6)]).await, [Acceptance::KeyReused(id)]);
    assert_eq!(stats(worked).await.depth, 0);
}

async fn an_unknown_update_is_none(worked: &dyn WorkedQueue) {
    let id = accept_one(worked, keyless(1)).await;
    let (job, _) = id.as_str().split_once('.').expect("a keyless id names its job");
    let neighbours = [format!("{job}.1"), format!("{job}."), job.to_owned(), format!("{job}.0.0"), format!("{id} ")];
    let garbage = ["", ".", "..", "'", "%", "01J.0", "\u{0}", "李", "' OR 1=1 --", &"x".repeat(10_000)];
    for id in neighbours.iter().map(String::as_str).chain(garbage) {
        assert_eq!(state(worked, &UpdateId::new(id)).await, None, "{id:?}");
    }
}

async fn a_failed_update_is_retrying_with_its_reason(worked: &dyn WorkedQueue) {
    let id = accept_one(worked, keyed("k", 5)).await;
    worked.fail_all("the ledger said \"no\"").await;
    let expected = Some((QueuedState::Retrying, 1, Some("the ledger said \"no\"".to_owned())));
    assert_eq!(state(worked, &id).await, expected);
    assert_eq!(stats(worked).await.depth, 1, "it is not finished");
}

async fn a_delayed_update_is_still_queued(worked: &dyn WorkedQueue) {
    let id = accept_one(worked, keyless(5)).await;
    let job = id.job().expect("a keyless id names its job");
    worked.queue().delay(JobKind::Scores, &job, Duration::from_secs(3_600)).await.expect("delayed");
    assert_eq!(state(worked, &id).await, Some((QueuedState::Queued, 0, None)));
    assert_eq!(stats(worked).await.depth, 1);
    worked
        .queue()
        .delay(JobKind::Scores, &JobId::new("01NOBODY"), Duration::MAX)
        .await
        .expect("no such job is no failure");
}

async fn parking_twice_changes_nothing(worked: &dyn WorkedQueue) {
    let parked = update("u1", 1, 5);
    let payload = serde_json::to_string(&parked).expect("JSON");
    worked.queue().bury(&[letter("u1", payload.clone(), "it was refused")]).await.expect("parked");
    let first = worked.queue().find_update(&parked.id).await.expect("readable").expect("parked");
    assert_eq!((&first.update, first.state, first.attempts), (&parked, QueuedState::Dead, 3));
    assert_eq!(first.last_error.as_deref(), Some("it was refused"));
    assert!(first.died_at.is_some());
    let again = DeadLetter { attempts: 9, ..letter("u1", payload.clone(), "another reason") };
    worked.queue().bury(&[again.clone(), letter("u2", payload, "new"), again]).await.expect("parked");
    assert_eq!(worked.queue().find_update(&parked.id).await.expect("readable"), Some(first));
    assert_eq!((stats(worked).await.dead, stats(worked).await.depth), (2, 0));
    worked.queue().bury(&[]).await.expect("nothing to park");
}

async fn a_parked_job_that_could_not_be_read_is_no_update(worked: &dyn WorkedQueue) {
    worked.queue().bury(&[letter("01JOB", "not \"JSON".to_owned(), "can not be read")]).await.expect("parked");
    assert_eq!(stats(worked).await.dead, 1, "a person will look at it");
    assert_eq!(state(worked, &UpdateId::new("01JOB")).await, None, "nobody was given this id");
}

async fn depth_counts_unfinished_jobs(worked: &dyn WorkedQueue) {
    assert_eq!(stats(worked).await, QueueStats::default());
    for n in 1..=3 {
        accept(worked, vec![keyless(n), keyless(n)]).await;
        assert_eq!(stats(worked).await.depth, n.unsigned_abs());
    }
    worked.finish_all().await;
    assert_eq!(stats(worked).await, QueueStats::default());
}

async fn the_oldest_job_ages(worked: &dyn WorkedQueue) {
    accept_one(worked, keyless(1)).await;
    let age = async || stats(worked).await.oldest;
    let first = eventually("the job to age", || async { Some(age().await).filter(|age| !age.is_zero()) }).await;
    accept_one(worked, keyless(1)).await;
    assert!(age().await >= first, "a younger job does not matter");
    assert!(first < Duration::from_secs(60), "{first:?}");
}

async fn kinds_are_counted_and_parked_apart(worked: &dyn WorkedQueue) {
    accept_one(worked, keyless(1)).await;
    let of_fetches = async || worked.queue().stats(JobKind::Fetch).await.expect("statistics");
    assert_eq!(of_fetches().await, QueueStats::default());
    let fetch = DeadLetter { kind: JobKind::Fetch, ..letter("01JOB", "{}".to_owned(), "can not be read") };
    worked.queue().bury(&[fetch.clone(), letter("u1", "{}".to_owned(), "refused"), fetch]).await.expect("parked");
    assert_eq!((of_fetches().await.dead, of_fetches().await.depth), (1, 0));
    assert_eq!((stats(worked).await.dead, stats(worked).await.depth), (1, 1));
    worked.queue().delay(JobKind::Fetch, &JobId::new("01NOBODY"), Duration::MAX).await.expect("no such job");
    assert_eq!(of_fetches().await.depth, 0);
}

async fn finished_jobs_are_trimmed_in_chunks_and_waiting_ones_stay(worked: &dyn WorkedQueue) {
    for n in 1..=5 {
        accept_one(worked, keyless(n)).await;
    }
    worked.finish_all().await;
    let waiting = accept_one(worked, keyless(6)).await;
    let trim = async || worked.queue().trim(BEGINNING, 2).await.expect("trimmed");
    assert_eq!([trim().await, trim().await, trim().await, trim().await], [2, 2, 1, 0]);
    assert_eq!(state(worked, &waiting).await, Some((QueuedState::Queued, 0, None)));
    assert_eq!(stats(worked).await.depth, 1);
}

async fn old_keys_are_trimmed_in_chunks(worked: &dyn WorkedQueue) {
    for n in 1..=5 {
        accept_one(worked, keyed(&format!("k{n}"), 1)).await;
    }
    assert_eq!(worked.queue().trim(BEGINNING, 100).await.expect("trimmed"), 0, "none is that old");
    let trim = async || worked.queue().trim(END_OF_TIME, 2).await.expect("trimmed");
    assert_eq!([trim().await, trim().await, trim().await, trim().await], [2, 2, 1, 0]);
    assert_eq!(stats(worked).await.depth, 5, "work is never trimmed");
    assert_eq!(accept(worked, vec![keyed("k1", 9)]).await, [Acceptance::Accepted(key("k1"))], "the key is free again");
}
