//! What a person may rely on where there are jobs of several kinds, whatever the queue.

use scorewire_core::domain::{JobId, Micros, UpdateId};
use scorewire_core::ports::{
    Clock, DeadLetter, Enqueued, JobKind, JobRecord, JobState, NewJob, QueuedState, SystemClock, UpdateIdentity,
};

use super::jobs::{UNREADABLE, accept, all, buried, discard, find, ids, inspector, keyed, standing};
use super::queue::{WorkedQueue, new};
use super::suite;

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_queue,
        redis_streams: crate::contracts::adapters::redis_queue,
    }
    rules {
        kinds_are_listed_apart_and_found_together,
        a_letter_of_another_kind_is_decided_about_byte_for_byte,
    }
}

/// Queues a fetch job.
async fn fetch(worked: &dyn WorkedQueue, claim: &str) -> String {
    let (claim, payload) = (claim.to_owned(), UNREADABLE.to_vec());
    let until = Micros(SystemClock.now().0 + 3_600_000_000);
    let job = NewJob { kind: JobKind::Fetch, claim, payload, claim_until: until, slot: None, replaces: false };
    match worked.unique_jobs().enqueue(job).await.expect("an answer") {
        Enqueued::Queued(id) => id.to_string(),
        other => panic!("queued: {other:?}"),
    }
}

async fn fetches(worked: &dyn WorkedQueue, state: JobState) -> Vec<JobRecord> {
    inspector(worked).list(JobKind::Fetch, state, None, 100).await.expect("a page").jobs
}

async fn kinds_are_listed_apart_and_found_together(worked: &dyn WorkedQueue) {
    let update = accept(worked, new(UpdateIdentity::Keyless, 1)).await;
    let job = fetch(worked, "a").await;
    for state in [JobState::Queued, JobState::Running, JobState::Retrying] {
        match state {
            JobState::Running => worked.take_all_in_hand().await,
            JobState::Retrying => worked.fail_all("no").await,
            _ => {}
        }
        let listed = fetches(worked, state).await;
        assert_eq!(find(worked, &job).await.as_slice(), listed, "{state:?}");
        assert_eq!((listed[0].kind, listed[0].id.as_str(), listed[0].updates), (JobKind::Fetch, job.as_str(), None));
        let scores = all(worked, state, 1).await;
        assert_eq!((scores.len(), scores[0].kind), (1, JobKind::Scores), "{state:?}");
        assert_eq!(scores[0].job, update.job().expect("a keyless id names its job"));
    }
    for not_an_update in [job.clone(), format!("{job}.0")] {
        let found = worked.queue().find_update(&UpdateId::new(not_an_update)).await.expect("readable");
        assert_eq!(found, None);
    }
}

async fn a_letter_of_another_kind_is_decided_about_byte_for_byte(worked: &dyn WorkedQueue) {
    let score = buried(worked, vec![keyed("k", 5)]).await.remove(0);
    let jobs = [fetch(worked, "a").await, fetch(worked, "b").await];
    let letters = jobs.clone().map(|job| DeadLetter {
        kind: JobKind::Fetch,
        job: JobId::new(&job),
        id: job,
        payload: UNREADABLE.to_vec(),
        reason: "it can not be read".to_owned(),
        attempts: 1,
    });
    worked.queue().bury(&letters).await.expect("parked");
    worked.finish_all().await;
    assert_eq!(ids(worked, JobState::Dead, 10).await, [score.to_string()]);
    let dead = fetches(worked, JobState::Dead).await;
    assert_eq!(dead.iter().map(|dead| dead.kind).collect::<Vec<_>>(), [JobKind::Fetch; 2]);
    assert_eq!(find(worked, &jobs[0]).await.expect("parked").state, JobState::Dead);
    let named = [jobs[0].clone(), score.to_string(), "nobody".to_owned()];
    assert_eq!(inspector(worked).retry(&named).await.expect("retried"), named[..2]);
    let queued = fetches(worked, JobState::Queued).await;
    assert_eq!((queued.len(), queued[0].payload.as_slice()), (1, UNREADABLE));
    assert_ne!(queued[0].id, jobs[0], "a new job");
    assert_eq!(standing(worked, &score).await, (Some(QueuedState::Queued), 1, 0));
    assert_eq!(discard(worked, &jobs[1]).await, [jobs[1].clone()]);
    assert_eq!(fetches(worked, JobState::Dead).await, []);
}
