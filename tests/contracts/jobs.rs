//! What a person may rely on when looking at jobs and deciding about dead letters, whatever the queue.

use std::collections::HashSet;
use std::time::Duration;

use scorewire_core::domain::{JobId, Subject, UpdateId};
use scorewire_core::ports::{
    Acceptance, DeadLetter, JobInspector, JobKind, JobRecord, JobState, NewUpdate, QueuedState, UpdateIdentity,
};
use scorewire_core::queue::JobPayload;

use super::queue::{NOW, WorkedQueue, new};
use super::{at_once, suite};

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_queue,
        redis_streams: crate::contracts::adapters::redis_queue,
    }
    rules {
        pages_name_every_dead_letter_once_newest_first,
        pages_name_every_unfinished_job_once,
        a_page_begins_where_another_ended_even_when_that_letter_is_gone,
        a_job_is_shown_wherever_it_is,
        an_update_leads_to_its_job,
        an_update_is_never_out_of_sight_while_it_is_parked,
        a_retried_letter_is_queued_again_under_the_same_id,
        of_many_retries_at_once_one_queues,
        a_retried_letter_that_dies_again_can_be_retried_again,
        a_discarded_letter_is_gone_for_good,
        a_discarded_key_is_free_again,
        a_discard_leaves_a_key_that_another_job_holds,
        a_job_nobody_can_read_is_listed_retried_and_discarded_byte_for_byte,
        answers_stand_in_the_order_of_the_ids,
        unknown_ids_are_left_alone,
    }
}

/// Not even text.
pub(super) const UNREADABLE: &[u8] = b"\xde\xad\x00{\"v\":";

pub(super) fn inspector(worked: &dyn WorkedQueue) -> &dyn JobInspector {
    worked.inspector()
}

pub(super) fn keyed(name: &str, amount: i64) -> NewUpdate {
    new(UpdateIdentity::Keyed(UpdateId::keyed(&Subject::new("ann"), name).expect("a key")), amount)
}

pub(super) async fn accept(worked: &dyn WorkedQueue, update: NewUpdate) -> UpdateId {
    match worked.queue().accept(vec![update]).await.expect("an answer").as_slice() {
        [Acceptance::Accepted(id)] => id.clone(),
        other => panic!("accepted: {other:?}"),
    }
}

/// Accepts updates, each in a job of its own, and gives up on them as a worker does.
pub(super) async fn buried(worked: &dyn WorkedQueue, updates: Vec<NewUpdate>) -> Vec<UpdateId> {
    let mut ids = Vec::new();
    for update in updates {
        ids.push(accept(worked, update).await);
    }
    bury_unfinished(worked).await;
    ids
}

/// Parks every update of every waiting job, and acknowledges the jobs.
async fn bury_unfinished(worked: &dyn WorkedQueue) {
    for job in all(worked, JobState::Queued, 100).await {
        let updates = JobPayload::decode(&job.payload).expect("readable").updates;
        let letters: Vec<_> = updates
            .iter()
            .map(|update| DeadLetter {
                kind: JobKind::Scores,
                id: update.id.to_string(),
                job: job.job.clone(),
                payload: serde_json::to_vec(update).expect("JSON"),
                reason: "it was refused".to_owned(),
                attempts: 3,
            })
            .collect();
        worked.queue().bury(&letters).await.expect("parked");
    }
    worked.finish_all().await;
}

/// Everything in a state, read in pages of this many.
pub(super) async fn all(worked: &dyn WorkedQueue, state: JobState, page: usize) -> Vec<JobRecord> {
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let read = inspector(worked).list(JobKind::Scores, state, after.as_ref(), page).await.expect("a page");
        assert!(read.jobs.len() <= page, "{read:?}");
        assert!(read.jobs.iter().all(|job| job.state == state), "{read:?}");
        jobs.extend(read.jobs);
        after = read.next;
        if after.is_none() {
            return jobs;
        }
    }
}

pub(super) async fn ids(worked: &dyn WorkedQueue, state: JobState, page: usize) -> Vec<String> {
    all(worked, state, page).await.into_iter().map(|job| job.id).collect()
}

pub(super) async fn find(worked: &dyn WorkedQueue, id: &str) -> Option<JobRecord> {
    inspector(worked).find(id).await.expect("an answer")
}

async fn retry(worked: &dyn WorkedQueue, id: &str) -> Vec<String> {
    inspector(worked).retry(&[id.to_owned()]).await.expect("retried")
}

pub(super) async fn discard(worked: &dyn WorkedQueue, id: &str) -> Vec<String> {
    inspector(worked).discard(&[id.to_owned()]).await.expect("discarded")
}

/// The update's state, and how many jobs and dead letters there are.
pub(super) async fn standing(worked: &dyn WorkedQueue, id: &UpdateId) -> (Option<QueuedState>, u64, u64) {
    let found = worked.queue().find_update(id).await.expect("readable");
    let stats = worked.queue().stats(JobKind::Scores).await.expect("statistics");
    (found.map(|found| found.state), stats.depth, stats.dead)
}

async fn pages_name_every_dead_letter_once_newest_first(worked: &dyn WorkedQueue) {
    assert_eq!(ids(worked, JobState::Dead, 10).await, Vec::<String>::new());
    let mut expected = Vec::new();
    for batch in 0..4 {
        // Letters of one batch die in the same microsecond or nearly so.
        let batch = (0..6).map(|n| keyed(&format!("k{batch}-{n}"), 1)).collect();
        let batch: HashSet<String> = buried(worked, batch).await.iter().map(ToString::to_string).collect();
        expected.insert(0, batch);
    }
    for page in [1, 4, 6, 24, 100] {
        let listed = ids(worked, JobState::Dead, page).await;
        assert_eq!(listed.len(), 24, "in pages of {page}");
        let batches: Vec<HashSet<String>> = listed.chunks(6).map(|ids| ids.iter().cloned().collect()).collect();
        assert_eq!(batches, expected, "in pages of {page}");
    }
    let first = all(worked, JobState::Dead, 1).await.remove(0);
    assert_eq!((first.attempts, first.updates, first.accepted_at), (3, Some(1), Some(NOW)));
    assert_eq!(first.last_error.as_deref(), Some("it was refused"));
    assert!(first.died_at.is_some() && first.due.is_none());
}

async fn pages_name_every_unfinished_job_once(worked: &dyn WorkedQueue) {
    let mut accepted = HashSet::new();
    for n in 1..=10 {
        let id = accept(worked, new(UpdateIdentity::Keyless, n)).await;
        accepted.insert(id.job().expect("a keyless id names its job").to_string());
    }
    for state in [JobState::Queued, JobState::Running, JobState::Retrying] {
        match state {
            JobState::Running => worked.take_all_in_hand().await,
            JobState::Retrying => worked.fail_all("the ledger said no").await,
            _ => {}
        }
        for page in [1, 3, 10, 100] {
            let listed = ids(worked, state, page).await;
            assert_eq!(listed.len(), 10, "{state:?} in pages of {page}");
            assert_eq!(listed.into_iter().collect::<HashSet<_>>(), accepted, "{state:?} in pages of {page}");
        }
        for other in JobState::ALL.into_iter().filter(|other| *other != state) {
            assert_eq!(ids(worked, other, 100).await, Vec::<String>::new(), "{other:?} while all are {state:?}");
        }
    }
    let failed = all(worked, JobState::Retrying, 100).await.remove(0);
    assert_eq!((failed.attempts, failed.last_error.as_deref()), (1, Some("the ledger said no")));
}

async fn a_page_begins_where_another_ended_even_when_that_letter_is_gone(worked: &dyn WorkedQueue) {
    let letters = buried(worked, (0..9).map(|n| keyed(&format!("k{n}"), 1)).collect()).await;
    let whole = ids(worked, JobState::Dead, 100).await;
    let first = inspector(worked).list(JobKind::Scores, JobState::Dead, None, 3).await.expect("a page");
    let last = first.jobs.last().expect("three letters").id.clone();
    assert_eq!(discard(worked, &last).await, [last]);
    let rest = inspector(worked).list(JobKind::Scores, JobState::Dead, first.next.as_ref(), 100).await.expect("a page");
    assert_eq!(rest.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>(), whole[3..]);
    assert_eq!(letters.len(), 9);
}

async fn a_job_is_shown_wherever_it_is(worked: &dyn WorkedQueue) {
    let id = accept(worked, new(UpdateIdentity::Keyless, 7)).await;
    let job = id.job().expect("a keyless id names its job").to_string();
    let show = async || find(worked, &job).await.expect("it is there");
    let waiting = show().await;
    assert_eq!((waiting.state, waiting.attempts, waiting.updates), (JobState::Queued, 0, Some(1)));
    assert_eq!((waiting.accepted_at, waiting.died_at, waiting.due), (Some(NOW), None, None));
    assert_eq!(JobPayload::decode(&waiting.payload).expect("readable").updates[0].id, id);
    worked.take_all_in_hand().await;
    assert_eq!(show().await.state, JobState::Running);
    worked.fail_all("the ledger said no").await;
    let failed = show().await;
    assert_eq!((failed.state, failed.attempts), (JobState::Retrying, 1));
    assert_eq!(failed.last_error.as_deref(), Some("the ledger said no"));
    assert_eq!(failed.payload, waiting.payload);
}

async fn an_update_leads_to_its_job(worked: &dyn WorkedQueue) {
    let id = accept(worked, keyed("k", 7)).await;
    let job = find(worked, id.as_str()).await.expect("it is in a job");
    assert_eq!((job.state, job.updates), (JobState::Queued, Some(1)));
    assert_eq!(job.id, job.job.as_str());
    let keyless = accept(worked, new(UpdateIdentity::Keyless, 7)).await;
    let job = keyless.job().expect("a keyless id names its job");
    assert_eq!(find(worked, keyless.as_str()).await.expect("it is in a job").job, job);
    assert_eq!(find(worked, &format!("{job}.1")).await, None, "the job has no such update");
    worked.finish_all().await;
    assert_eq!(find(worked, id.as_str()).await, None);
}

async fn an_update_is_never_out_of_sight_while_it_is_parked(worked: &dyn WorkedQueue) {
    for n in 0..20 {
        let id = accept(worked, keyed(&format!("k{n}"), 1)).await;
        at_once(3, |role| {
            let id = &id;
            async move {
                if role == 0 {
                    return bury_unfinished(worked).await;
                }
                loop {
                    let job = find(worked, id.as_str()).await.map(|job| job.state);
                    assert!(job.is_some(), "somebody looks for the job");
                    match standing(worked, id).await.0 {
                        Some(QueuedState::Dead) => return,
                        state => assert!(state.is_some(), "somebody looks for the update"),
                    }
                }
            }
        });
    }
}

async fn a_retried_letter_is_queued_again_under_the_same_id(worked: &dyn WorkedQueue) {
    for (n, update) in [keyed("k", 5), new(UpdateIdentity::Keyless, 6)].into_iter().enumerate() {
        let id = buried(worked, vec![update.clone()]).await.remove(0);
        assert_eq!(standing(worked, &id).await, (Some(QueuedState::Dead), 0, 1));
        let dead = find(worked, id.as_str()).await.expect("parked");
        assert_eq!(retry(worked, id.as_str()).await, [id.to_string()]);
        assert_eq!(standing(worked, &id).await, (Some(QueuedState::Queued), 1, 0));
        let found = worked.queue().find_update(&id).await.expect("readable").expect("queued");
        assert_eq!(
            (&found.update, found.attempts),
            (&update.clone().accepted_as(id.clone()), 0),
            "whole, from the start"
        );
        let job = find(worked, id.as_str()).await.expect("queued");
        assert_ne!(job.job, dead.job, "a job of its own");
        assert_eq!(
            JobPayload::decode(&job.payload).expect("readable").updates,
            [update.clone().accepted_as(id.clone())]
        );
        if n == 0 {
            assert_eq!(worked.queue().accept(vec![update]).await.expect("an answer"), [Acceptance::Replayed(id)]);
        }
        worked.finish_all().await;
    }
}

async fn of_many_retries_at_once_one_queues(worked: &dyn WorkedQueue) {
    let letters = buried(worked, (0..3).map(|n| keyed(&format!("k{n}"), 1)).collect()).await;
    let named: Vec<String> = letters.iter().map(ToString::to_string).collect();
    let retried = at_once(8, |_| async { inspector(worked).retry(&named).await.expect("retried") });
    let mut retried: Vec<String> = retried.into_iter().flatten().collect();
    retried.sort();
    let mut expected = named.clone();
    expected.sort();
    assert_eq!(retried, expected, "each by one of them");
    assert_eq!(standing(worked, &letters[0]).await, (Some(QueuedState::Queued), 3, 0));
}

async fn a_retried_letter_that_dies_again_can_be_retried_again(worked: &dyn WorkedQueue) {
    let id = buried(worked, vec![keyed("k", 5)]).await.remove(0);
    for _ in 0..3 {
        assert_eq!(retry(worked, id.as_str()).await, [id.to_string()]);
        assert_eq!(standing(worked, &id).await, (Some(QueuedState::Queued), 1, 0));
        bury_unfinished(worked).await;
        assert_eq!(standing(worked, &id).await, (Some(QueuedState::Dead), 0, 1));
    }
}

async fn a_discarded_letter_is_gone_for_good(worked: &dyn WorkedQueue) {
    let letters = buried(worked, vec![keyed("k", 5), new(UpdateIdentity::Keyless, 6), keyed("other", 7)]).await;
    for id in &letters[..2] {
        assert_eq!(discard(worked, id.as_str()).await, [id.to_string()]);
        assert_eq!(discard(worked, id.as_str()).await, Vec::<String>::new(), "again changes nothing");
        assert_eq!(retry(worked, id.as_str()).await, Vec::<String>::new());
        assert_eq!((standing(worked, id).await.0, find(worked, id.as_str()).await), (None, None));
    }
    assert_eq!(standing(worked, &letters[2]).await, (Some(QueuedState::Dead), 0, 1), "others stay");
}

async fn a_discarded_key_is_free_again(worked: &dyn WorkedQueue) {
    let id = buried(worked, vec![keyed("k", 5)]).await.remove(0);
    let accept_again = async |amount| worked.queue().accept(vec![keyed("k", amount)]).await.expect("an answer");
    assert_eq!(accept_again(5).await, [Acceptance::Replayed(id.clone())], "while it is dead, it counts");
    discard(worked, id.as_str()).await;
    assert_eq!(accept_again(6).await, [Acceptance::Accepted(id.clone())], "even for another body");
    assert_eq!(standing(worked, &id).await, (Some(QueuedState::Queued), 1, 0));
}

async fn a_discard_leaves_a_key_that_another_job_holds(worked: &dyn WorkedQueue) {
    let id = buried(worked, vec![keyed("k", 5)]).await.remove(0);
    let letter = find(worked, id.as_str()).await.expect("parked");
    retry(worked, id.as_str()).await;
    // The first job was delivered once more after a crash, and parked its update again while the retry waits.
    let again = DeadLetter {
        kind: JobKind::Scores,
        id: letter.id,
        job: letter.job,
        payload: letter.payload,
        reason: "it was refused".to_owned(),
        attempts: 3,
    };
    worked.queue().bury(&[again]).await.expect("parked");
    assert_eq!(discard(worked, id.as_str()).await, [id.to_string()]);
    assert_eq!(standing(worked, &id).await, (Some(QueuedState::Queued), 1, 0), "the retry still waits");
    let repeat = worked.queue().accept(vec![keyed("k", 5)]).await.expect("an answer");
    assert_eq!(repeat, [Acceptance::Replayed(id)], "and holds the key");
}

async fn a_job_nobody_can_read_is_listed_retried_and_discarded_byte_for_byte(worked: &dyn WorkedQueue) {
    let job = "01J0000000000000000000DEAD";
    let letter = |job: &str| DeadLetter {
        kind: JobKind::Scores,
        id: job.to_owned(),
        job: JobId::new(job),
        payload: UNREADABLE.to_vec(),
        reason: "it can not be read".to_owned(),
        attempts: 1,
    };
    worked.queue().bury(&[letter(job)]).await.expect("parked");
    let dead = find(worked, job).await.expect("parked");
    assert_eq!((dead.state, dead.updates, dead.payload.as_slice()), (JobState::Dead, None, UNREADABLE));
    assert!(dead.accepted_at.is_some(), "its id says when it was made");
    assert_eq!(all(worked, JobState::Dead, 1).await, [dead]);
    assert_eq!(retry(worked, job).await, [job]);
    let queued = all(worked, JobState::Queued, 10).await.remove(0);
    assert_ne!(queued.id, job, "a new job");
    assert_eq!((queued.updates, queued.payload.as_slice()), (None, UNREADABLE));
    worked.finish_all().await;
    worked.queue().bury(&[letter(&queued.id)]).await.expect("parked");
    assert_eq!(discard(worked, &queued.id).await, std::slice::from_ref(&queued.id));
    assert_eq!(find(worked, &queued.id).await, None);
    assert_eq!(ids(worked, JobState::Dead, 10).await, Vec::<String>::new());
}

async fn answers_stand_in_the_order_of_the_ids(worked: &dyn WorkedQueue) {
    // More than one script's worth on Redis.
    buried(worked, (0..70).map(|n| keyed(&format!("k{n}"), 1)).collect()).await;
    let named: Vec<String> = ids(worked, JobState::Dead, 100).await.into_iter().rev().collect();
    let with_a_stranger = [&named[..35], &["nobody".to_owned()], &named[35..]].concat();
    assert_eq!(inspector(worked).retry(&with_a_stranger).await.expect("retried"), named);
    bury_unfinished(worked).await;
    assert_eq!(inspector(worked).discard(&with_a_stranger).await.expect("discarded"), named);
    assert_eq!(ids(worked, JobState::Dead, 100).await, Vec::<String>::new());
}

async fn unknown_ids_are_left_alone(worked: &dyn WorkedQueue) {
    let id = accept(worked, keyed("k", 5)).await;
    worked.queue().delay(JobKind::Scores, &JobId::new("01NOBODY"), Duration::ZERO).await.expect("nobody waits");
    let garbage = ["", ".", "'", "%", "*", "\u{0}", "李", "01J.0", "' OR 1=1 --", &"x".repeat(10_000), id.as_str()];
    for unknown in garbage {
        assert_eq!(retry(worked, unknown).await, Vec::<String>::new(), "{unknown:?}");
        assert_eq!(discard(worked, unknown).await, Vec::<String>::new(), "{unknown:?}");
    }
    assert_eq!(inspector(worked).retry(&[]).await.expect("nothing"), Vec::<String>::new());
    assert_eq!(standing(worked, &id).await, (Some(QueuedState::Queued), 1, 0), "only dead letters are decided about");
    for unknown in &garbage[..garbage.len() - 1] {
        assert_eq!(find(worked, unknown).await, None, "{unknown:?}");
    }
}
