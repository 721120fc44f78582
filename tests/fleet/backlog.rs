//! Far more is accepted than anybody works on: it is applied when workers come, and Redis gets its memory back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use scorewire_core::domain::{BoardId, Operator, RequestId, Subject, UserId};
use scorewire_core::ports::{Acceptance, Clock, NewUpdate, Queue, SystemClock, UpdateIdentity};
use scorewire_core::queue::RedisQueue;
use scorewire_core::queue::redis_streams::backend::StreamsConfig;
use scorewire_core::redis::RedisHandle;
use sqlx::{Executor, Row};

use super::support::{Fleet, Load, PREFIX, Plan, queue_key};
use crate::support::{DEADLINE, full_or};

const USERS: i64 = 50;
/// The ledger refuses this one's updates.
const POISONED: i64 = 13;
/// Jobs on their way to Redis at once.
const AT_ONCE: usize = 64;
/// What may remain of the memory that a backlog took, and of small things whatever its size.
const REMAINS: (f64, f64) = (0.01, 1e6);

/// Bytes in use after unused ones were given back.
async fn memory(fleet: &Fleet) -> f64 {
    let mut redis = fleet.keys().await;
    redis::cmd("MEMORY").arg("PURGE").query_async::<()>(&mut redis).await.expect("purged");
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await.expect("figures");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure");
    used.trim().parse().expect("a number")
}

fn update(user: i64) -> NewUpdate {
    NewUpdate {
        identity: UpdateIdentity::Keyless,
        board: BoardId::main(),
        user: UserId::parse(user).expect("valid"),
        operator: Operator::Increment(1),
        accepted_at: SystemClock.now(),
        submitter: Subject::new("tester"),
        request: RequestId::new("backlog"),
        reply_to: None,
    }
}

async fn refuse_poisoned(fleet: &Fleet) {
    let ledger = fleet.ledger().await;
    let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$";
    let trigger = format!(
        "CREATE TRIGGER poison BEFORE INSERT ON updates FOR EACH ROW WHEN (NEW.user_id = {POISONED})
         EXECUTE FUNCTION refuse()"
    );
    ledger.execute(function).await.expect("a function");
    ledger.execute(sqlx::AssertSqlSafe(trigger)).await.expect("a trigger");
    ledger.close().await;
}

/// Fills the queue with jobs of one update each, as API processes do.
async fn fill(fleet: &Fleet, jobs: usize) -> Option<String> {
    let handle = RedisHandle::connect(&fleet.redis.url(), PREFIX).await.expect("Redis answers");
    let retention = Duration::from_secs(86_400);
    let queue = RedisQueue::new(&handle, StreamsConfig::default(), retention, Arc::new(SystemClock));
    let queue = &queue;
    let poisoned = jobs / 2;
    let accepting = futures_util::stream::iter(0..jobs).map(|n| async move {
        let user = (n as i64) % (USERS - 1) + 1;
        // The one that takes the poisoned user's place is the last.
        let user = if user == POISONED { USERS } else { user };
        let accepted = queue.accept(vec![update(if n == poisoned { POISONED } else { user })]).await.expect("accepted");
        match &accepted[..] {
            [Acceptance::Accepted(id)] => (n == poisoned).then(|| id.to_string()),
            other => panic!("{other:?}"),
        }
    });
    accepting.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect::<Vec<_>>().await.pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_drains_and_memory_returns() {
    let jobs = full_or(200_000, 20_000);
    // A short log of the topic, so that it is full before the floor is measured.
    let arguments = vec!["--topic-messages", "100", "--max-attempts", "2", "--retry-base", "10ms"];
    let fleet = Fleet::start(Plan { users: USERS, arguments, ..Plan::default() }).await;
    let first = Load::keyless(1_000, 1_000, USERS).send(&fleet).await;
    fleet.assert_exactly_once(&first).await;
    refuse_poisoned(&fleet).await;
    let floor = memory(&fleet).await;
    for worker in &fleet.workers {
        worker.kill().await;
    }
    let began = Instant::now();
    let poisoned = fill(&fleet, jobs).await.expect("one of them");
    let filling = began.elapsed();
    assert_eq!(fleet.depth().await, jobs as u64, "one job each, none worked on");
    // The APIs go on accepting.
    let id = fleet.accepted(0, 1).await;
    let peak = memory(&fleet).await;
    let began = Instant::now();
    futures_util::future::join_all(fleet.workers.iter().map(super::support::Member::start)).await;
    let limit = DEADLINE + Duration::from_millis(2) * u32::try_from(jobs).expect("a small number");
    tokio::time::timeout(limit, async {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        while fleet.depth().await > 0 {
            beat.tick().await;
        }
    })
    .await
    .expect("the backlog drains");
    let draining = began.elapsed();
    fleet.applied(1, &id).await;
    // Everything but the poisoned one, besides what came before and after.
    assert_eq!(fleet.decided().await, Some(1_000 + jobs as u64 - 1 + 1));
    assert_eq!(fleet.dead().await.join(" "), poisoned, "it alone is parked");
    let ledger = fleet.ledger().await;
    let tries = sqlx::query("SELECT max(attempts) FROM updates").fetch_one(&ledger).await.expect("tries");
    assert_eq!(tries.get::<i64, _>(0), 1, "the others were applied at their first try");
    ledger.close().await;
    let status: serde_json::Value =
        fleet.get(0, &format!("/scores/updates/{poisoned}")).await.json().await.expect("JSON");
    assert_eq!((&status["status"], &status["attempts"]), (&"failed".into(), &2.into()), "{status}");
    let mut redis = fleet.keys().await;
    let length: u64 = redis::cmd("XLEN").arg(queue_key("stream")).query_async(&mut redis).await.expect("a length");
    assert_eq!(length, 0);
    let rest = memory(&fleet).await;
    println!(
        "{jobs} jobs accepted in {filling:.1?}, drained in {draining:.1?}; Redis: {:.1} MB before, {:.1} MB full, {:.1} MB after",
        floor / 1e6,
        peak / 1e6,
        rest / 1e6
    );
    let [most, small] = [REMAINS.0 * (peak - floor), REMAINS.1];
    assert!(rest - floor < most + small, "memory returns: {floor} before, {peak} full, {rest} after");
}
