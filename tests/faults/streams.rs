//! The queue on Redis Streams with real apalis workers: nothing accepted is lost when a worker or Redis dies, and
//! Redis' memory returns to its floor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::attempt::Attempt;
use apalis_core::task::data::Data;
use apalis_core::worker::builder::WorkerBuilder;
use scorewire_core::ports::{Acceptance, DeadLetter, JobInspector, JobKind, JobState, Queue, QueuedState, SystemClock};
use scorewire_core::queue::redis_streams::backend::StreamsConfig;
use scorewire_core::queue::{JobPayload, JobSource, RawPayload, RedisQueue};
use scorewire_core::redis::RedisHandle;
use tokio::task::JoinHandle;

use super::update;
use crate::redis_server::PrivateRedis;
use crate::support::eventually;

const JOBS: i64 = 300;

/// What the handler does with a user's updates, and which tries it saw.
#[derive(Default)]
struct Hands {
    tries: Mutex<HashMap<i64, Vec<usize>>>,
    /// Never ends for the jobs of these users: their worker will be taken away with them in hand.
    stuck: Vec<i64>,
    /// Fails once for this user.
    failing: Option<i64>,
}

async fn handle(payload: RawPayload, attempt: Attempt, hands: Data<Arc<Hands>>) -> Result<(), BoxDynError> {
    for update in JobPayload::decode(&payload.0)?.updates {
        let user = update.user.get();
        hands.tries.lock().expect("a lock").entry(user).or_default().push(attempt.current());
        if hands.stuck.contains(&user) {
            std::future::pending::<()>().await;
        }
        if hands.failing == Some(user) && attempt.current() == 1 {
            return Err("not this time".into());
        }
    }
    Ok(())
}

/// Runs workers one after another, as the runtime does, until it is taken away.
fn worker(queue: &Arc<RedisQueue>, name: &str, hands: &Arc<Hands>) -> JoinHandle<()> {
    let (queue, name, hands) = (Arc::clone(queue), name.to_owned(), Arc::clone(hands));
    tokio::spawn(async move {
        for life in 0.. {
            let JobSource::Streams(jobs) = queue.jobs(JobKind::Scores) else { panic!("jobs on Redis") };
            let worker = WorkerBuilder::new(format!("{name}-{life}")).backend(*jobs).data(Arc::clone(&hands));
            // Ends when Redis goes away; the next life waits for it.
            let _ = worker.build(handle).run().await;
            tokio::task::yield_now().await;
        }
    })
}

async fn queue(server: &PrivateRedis) -> Arc<RedisQueue> {
    let handle = RedisHandle::connect(&server.url(), "streams:").await.expect("Redis is there");
    let config = StreamsConfig {
        heartbeat: Duration::from_millis(100),
        silence: Duration::from_millis(500),
        ..StreamsConfig::default()
    };
    Arc::new(RedisQueue::new(&handle, config, Duration::from_secs(86_400), Arc::new(SystemClock)))
}

async fn drained(queue: &RedisQueue) {
    eventually("an empty queue", || async {
        // Unavailable while Redis is away.
        (queue.stats(JobKind::Scores).await.ok()?.depth == 0).then_some(())
    })
    .await;
}

async fn keys(server: &PrivateRedis) -> Vec<String> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
    redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("keys")
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_dead_worker_are_taken_over_and_nothing_stays_behind() {
    let server = PrivateRedis::start();
    let queue = queue(&server).await;
    for user in 1..=JOBS {
        queue.accept(vec![update(user)]).await.expect("accepted");
    }
    let dying = Arc::new(Hands { stuck: (1..=JOBS).step_by(7).collect(), ..Hands::default() });
    let first = worker(&queue, "first", &dying);
    eventually("stuck jobs", || async { (dying.tries.lock().expect("a lock").len() > 100).then_some(()) }).await;
    first.abort();
    let living = Arc::new(Hands::default());
    // Of another process, so to speak.
    let second = worker(&self::queue(&server).await, "second", &living);
    drained(&queue).await;
    second.abort();
    let (first, second) = (dying.tries.lock().expect("a lock").clone(), living.tries.lock().expect("a lock").clone());
    assert!((1..=JOBS).all(|user| first.contains_key(&user) || second.contains_key(&user)), "nothing is lost");
    assert!(dying.stuck.iter().all(|user| !first.contains_key(user) || second.contains_key(user)), "orphans came over");
    let left: Vec<_> = keys(&server).await.into_iter().filter(|key| key.contains(":job:")).collect();
    assert_eq!(left, Vec::<String>::new(), "every job's memory is returned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_waits_and_is_tried_again_with_its_next_attempt() {
    let server = PrivateRedis::start();
    let queue = queue(&server).await;
    let accepted = queue.accept(vec![update(5)]).await.expect("accepted");
    let [Acceptance::Accepted(id)] = &accepted[..] else { panic!("{accepted:?}") };
    let hands = Arc::new(Hands { failing: Some(5), ..Hands::default() });
    // Asked for by the handler before it fails; here beforehand, so that the wait can be seen.
    let job = id.job().expect("a keyless id");
    queue.delay(JobKind::Scores, &job, Duration::from_secs(1)).await.expect("delayed");
    let working = worker(&queue, "only", &hands);
    let retrying = eventually("the failed try", || async {
        let found = queue.find_update(id).await.expect("a look");
        found.filter(|found| found.state == QueuedState::Retrying)
    })
    .await;
    assert_eq!(retrying.attempts, 1);
    assert!(retrying.last_error.expect("a reason").contains("not this time"));
    drained(&queue).await;
    working.abort();
    assert_eq!(hands.tries.lock().expect("a lock")[&5], [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_dead_letter_is_handed_to_a_worker_again_and_nothing_stays_behind() {
    let server = PrivateRedis::start();
    let queue = queue(&server).await;
    let accepted = queue.accept(vec![update(5)]).await.expect("accepted");
    let [Acceptance::Accepted(id)] = &accepted[..] else { panic!("{accepted:?}") };
    let first = Arc::new(Hands::default());
    let working = worker(&queue, "first", &first);
    drained(&queue).await;
    working.abort();
    // What the worker would have parked, had the ledger refused it.
    let letter = DeadLetter {
        kind: JobKind::Scores,
        id: id.to_string(),
        job: id.job().expect("a keyless id"),
        payload: serde_json::to_vec(&update(5).accepted_as(id.clone())).expect("JSON"),
        reason: "it was refused".to_owned(),
        attempts: 1,
    };
    queue.bury(&[letter]).await.expect("parked");
    assert_eq!(queue.retry(&[id.to_string()]).await.expect("retried"), [id.to_string()]);
    let queued = queue.find(id.as_str()).await.expect("a look").expect("queued");
    assert_eq!(queued.state, JobState::Queued, "beyond what workers were given");
    let second = Arc::new(Hands::default());
    let working = worker(&queue, "second", &second);
    drained(&queue).await;
    working.abort();
    assert_eq!(second.tries.lock().expect("a lock")[&5], [1], "from its first try on");
    let left: Vec<_> =
        keys(&server).await.into_iter().filter(|key| key.contains(":job:") || key.contains(":d")).collect();
    assert_eq!(left, Vec::<String>::new(), "every job's and letter's memory is returned");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_and_back_loses_nothing_that_was_accepted() {
    let server = PrivateRedis::start();
    let queue = queue(&server).await;
    let hands = Arc::new(Hands::default());
    let working = worker(&queue, "only", &hands);
    let mut accepted = 0;
    for user in 1..=JOBS {
        if user == JOBS / 2 {
            server.kill();
            assert!(queue.accept(vec![update(user)]).await.is_err(), "nothing is accepted without Redis");
            server.restart();
        }
        // The connection comes back after a moment.
        eventually("an update to be accepted", || async { queue.accept(vec![update(user)]).await.ok() }).await;
        accepted += 1;
    }
    assert_eq!(accepted, JOBS);
    drained(&queue).await;
    working.abort();
    let tries = hands.tries.lock().expect("a lock");
    assert_eq!((1..=JOBS).filter(|user| !tries.contains_key(user)).collect::<Vec<_>>(), Vec::<i64>::new());
}
