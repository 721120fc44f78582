//! Jobs of kind fetch with real apalis workers, on either queue: delivered, tried again, finished; and parked whole
//! when they kill whoever has them in hand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::attempt::Attempt;
use apalis_core::task::data::Data;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::builder::WorkerBuilder;
use scorewire_core::domain::{FeedName, JobId, Micros};
use scorewire_core::ports::{Clock, Enqueued, JobInspector, JobKind, JobState, NewJob, Queue, SystemClock, UniqueJobs};
use scorewire_core::queue::redis_streams::backend::StreamsConfig;
use scorewire_core::queue::{FetchPayload, JobSource, RawPayload, RedisQueue, SqliteQueue};
use scorewire_core::redis::RedisHandle;
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::task::JoinHandle;

use super::update;
use crate::redis_server::PrivateRedis;
use crate::support::eventually;

const CLAIM: &str = "btc-usd";

/// Everything that is the queue's.
trait Work: Queue + UniqueJobs + JobInspector {}
impl<Q: Queue + UniqueJobs + JobInspector> Work for Q {}

/// The handler: fails its first try with a wait, and gives the claim back when it succeeds.
struct Hands {
    queue: Arc<dyn Work>,
    tries: Mutex<Vec<(String, usize)>>,
    /// Never ends: the worker will be taken away with the job in hand.
    stuck: bool,
}

impl Hands {
    fn new(queue: &Arc<dyn Work>, stuck: bool) -> Arc<Self> {
        Arc::new(Self { queue: Arc::clone(queue), tries: Mutex::default(), stuck })
    }

    fn tries(&self) -> Vec<(String, usize)> {
        self.tries.lock().expect("a lock").clone()
    }
}

async fn handle(payload: RawPayload, id: TaskId, attempt: Attempt, hands: Data<Arc<Hands>>) -> Result<(), BoxDynError> {
    let feed = FetchPayload::decode(&payload.0)?.feed.to_string();
    hands.tries.lock().expect("a lock").push((feed.clone(), attempt.current()));
    if hands.stuck {
        std::future::pending::<()>().await;
    }
    let job = JobId::new(id.to_string());
    assert!(hands.queue.hold(JobKind::Fetch, &feed, &job, in_an_hour()).await?, "it is the one");
    if attempt.current() == 1 {
        hands.queue.delay(JobKind::Fetch, &job, Duration::from_secs(1)).await?;
        return Err("the source said no".into());
    }
    hands.queue.finished(JobKind::Fetch, &feed, &job).await?;
    Ok(())
}

fn worker(jobs: JobSource, name: &str, hands: &Arc<Hands>) -> JoinHandle<()> {
    let (name, hands) = (name.to_owned(), Arc::clone(hands));
    tokio::spawn(async move {
        let worker = WorkerBuilder::new(name);
        let _ = match jobs {
            JobSource::Sqlite(jobs) => worker.backend(*jobs).data(hands).build(handle).run().await,
            JobSource::Streams(jobs) => worker.backend(*jobs).data(hands).build(handle).run().await,
        };
    })
}

fn in_an_hour() -> Micros {
    Micros(SystemClock.now().0 + 3_600_000_000)
}

fn fetch() -> NewJob {
    let payload = FetchPayload::new(FeedName::parse(CLAIM).expect("a name"), None, None).encode();
    let (kind, claim) = (JobKind::Fetch, CLAIM.to_owned());
    NewJob { kind, claim, payload, claim_until: in_an_hour(), slot: None, replaces: false }
}

async fn queued(queue: &dyn Work) -> JobId {
    match queue.enqueue(fetch()).await.expect("an answer") {
        Enqueued::Queued(id) => id,
        other => panic!("queued: {other:?}"),
    }
}

async fn sqlite(path: &Path) -> Arc<SqliteQueue> {
    Arc::new(SqliteQueue::open(path, Arc::new(SystemClock)).await.expect("a queue"))
}

async fn streams(server: &PrivateRedis) -> Arc<RedisQueue> {
    let handle = RedisHandle::connect(&server.url(), "fetch:").await.expect("Redis is there");
    let (heartbeat, silence) = (Duration::from_millis(100), Duration::from_millis(500));
    let config = StreamsConfig { heartbeat, silence, ..StreamsConfig::default() };
    Arc::new(RedisQueue::new(&handle, config, Duration::from_secs(86_400), Arc::new(SystemClock)))
}

/// A job that waits when its worker comes, and one that wakes it.
async fn is_tried_again_and_finished(queue: Arc<dyn Work>, jobs: JobSource) {
    // A kind's worker is given none of another's.
    queue.accept(vec![update(1)]).await.expect("accepted");
    let waiting = queued(&*queue).await;
    let hands = Hands::new(&queue, false);
    let working = worker(jobs, "fetches", &hands);
    for (n, id) in [(2, Some(waiting)), (4, None)] {
        let id = match id {
            Some(id) => id,
            None => queued(&*queue).await,
        };
        let retrying = eventually("the failed try", || async {
            let found = queue.find(id.as_str()).await.expect("a look");
            // A file learns of a failed try with the next look of its worker, and may hand out the next at once.
            found.filter(|found| found.attempts == 1)
        })
        .await;
        assert_eq!(retrying.kind, JobKind::Fetch);
        assert!(retrying.last_error.expect("a reason").contains("the source said no"));
        eventually("an empty queue", || async {
            (queue.stats(JobKind::Fetch).await.expect("statistics").depth == 0).then_some(())
        })
        .await;
        assert_eq!(hands.tries().len(), n);
    }
    working.abort();
    let tries = [1, 2, 1, 2].map(|attempt| (CLAIM.to_owned(), attempt));
    assert_eq!(hands.tries(), tries);
    assert_eq!(queue.stats(JobKind::Scores).await.expect("statistics").depth, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_job_in_a_file_is_tried_again_and_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let queue = sqlite(&dir.path().join("queue.db")).await;
    let jobs = queue.jobs(JobKind::Fetch).await.expect("jobs");
    is_tried_again_and_finished(queue, jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_job_on_redis_is_tried_again_and_finished() {
    let server = PrivateRedis::start();
    let queue = streams(&server).await;
    let jobs = queue.jobs(JobKind::Fetch);
    is_tried_again_and_finished(queue, jobs).await;
}

/// It lies there with its bytes, and the next may claim what it claimed.
async fn is_parked_whole(queue: &dyn Work, job: &JobId) {
    let parked = queue.find(job.as_str()).await.expect("a look").expect("parked");
    assert_eq!((parked.kind, parked.state, parked.attempts), (JobKind::Fetch, JobState::Dead, 5));
    assert_eq!(parked.payload, fetch().payload);
    let reason = parked.last_error.expect("a reason");
    assert!(reason.contains("crashed every time it had this job in hand"), "{reason}");
    assert_ne!(queued(queue).await, *job);
}

#[tokio::test]
async fn a_fetch_job_in_a_file_that_kills_its_workers_is_parked_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("queue.db");
    let queue = sqlite(&path).await;
    let job = queued(&*queue).await;
    queue.accept(vec![update(1)]).await.expect("accepted");
    queue.close().await;
    for crash in 1..=5 {
        let raw = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path).foreign_keys(false))
            .await
            .expect("the file");
        raw.execute("UPDATE Jobs SET status = 'Queued', lock_by = 'dead' WHERE job_type = 'fetch'")
            .await
            .expect("held");
        raw.close().await;
        let queue = sqlite(&path).await;
        // Whichever worker comes first, the other kind's crashes are its own.
        queue.jobs(JobKind::Scores).await.expect("a new worker");
        queue.jobs(JobKind::Fetch).await.expect("a new worker");
        if crash < 5 {
            let waiting = queue.find(job.as_str()).await.expect("a look").expect("queued");
            assert_eq!(waiting.state, JobState::Queued, "after {crash}");
        } else {
            is_parked_whole(&*queue, &job).await;
        }
        queue.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_job_on_redis_that_kills_its_workers_is_parked_whole() {
    let server = PrivateRedis::start();
    let queue = streams(&server).await;
    let job = queued(&*queue).await;
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut raw = client.get_multiplexed_async_connection().await.expect("Redis is there");
    let key = format!("{{fetch:q:fetch}}:job:{job}");
    // The first four crashes, so to speak.
    redis::cmd("HSET").arg(&[&key, "crashes", "4"]).query_async::<()>(&mut raw).await.expect("crashed");
    let whole: Arc<dyn Work> = Arc::clone(&queue) as _;
    let hands = Hands::new(&whole, true);
    let dying = worker(queue.jobs(JobKind::Fetch), "dying", &hands);
    eventually("the job in hand", || async { (hands.tries().len() == 1).then_some(()) }).await;
    dying.abort();
    let other = streams(&server).await;
    let living = worker(other.jobs(JobKind::Fetch), "living", &hands);
    eventually("a dead letter", || async {
        (queue.stats(JobKind::Fetch).await.expect("statistics").dead == 1).then_some(())
    })
    .await;
    living.abort();
    assert_eq!(hands.tries().len(), 1, "it was not handed out again");
    is_parked_whole(&*queue, &job).await;
}
