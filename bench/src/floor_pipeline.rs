//! The floor of a fleet: the same pipeline without HTTP. Updates go straight into the queue through the library that
//! API processes use, and what the workers announce is heard where they would hear it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use scorewire_core::acceptance::Acceptor;
use scorewire_core::domain::{BoardId, Operator, RequestId, RingLimits, Subject, UpdateId, UserId};
use scorewire_core::ports::{Clock, NewUpdate, SystemClock, Topics, UpdateIdentity};
use scorewire_core::queue::RedisQueue;
use scorewire_core::queue::redis_streams::backend::StreamsConfig;
use scorewire_core::redis::RedisHandle;
use scorewire_core::topics::RedisTopics;
use tokio::task::JoinSet;

use crate::floor_sqlite::per_second;
use crate::load::{DEADLINE, Load, Nth, Rates};
use crate::viewer;

/// What follows is the server's by default.
const PREFIX: &str = "sw:";
const JOB_UPDATES: usize = 512;
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3_600);
const RING: RingLimits = RingLimits { messages: 10_000, age_us: 600_000_000 };

/// Feeds the queue from as many tasks as there would be connections; done when every point was announced.
pub(crate) async fn feed(redis: &str, load: Load) -> anyhow::Result<Rates> {
    let handle = RedisHandle::connect(redis, PREFIX).await?;
    let topics = RedisTopics::start(handle.clone(), RING).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let queue = RedisQueue::new(&handle, StreamsConfig::default(), RETENTION, Arc::clone(&clock));
    let acceptor = Acceptor::start(Arc::new(queue), JOB_UPDATES, u64::MAX);
    let mut announcements = topics.announcements();
    let posted = i64::try_from(load.points())?;
    let next = Arc::new(AtomicUsize::new(load.first));
    let began = Instant::now();

    let mut feeding = JoinSet::new();
    for _ in 0..load.connections {
        let (acceptor, next, clock) = (acceptor.clone(), Arc::clone(&next), Arc::clone(&clock));
        feeding.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.first + load.updates {
                    return anyhow::Ok(());
                }
                acceptor.accept(update(Nth(n), load.keyed, clock.as_ref())?).await?;
            }
        });
    }
    let hearing = tokio::spawn(async move {
        let mut sum = 0;
        while sum < posted {
            let announcement = announcements.recv().await.context("announcements were missed")?;
            let seen = announcement.messages.iter().filter_map(|message| viewer::update(message.data.as_bytes()));
            sum += seen.map(|seen| seen.increment).sum::<i64>();
        }
        anyhow::Ok(sum)
    });
    let both = async {
        while let Some(task) = feeding.join_next().await {
            task??;
        }
        let accepted = per_second(load.updates, began);
        let sum = hearing.await??;
        if sum != posted {
            bail!("{sum} points were announced instead of {posted}");
        }
        anyhow::Ok(accepted)
    };
    let accepted = tokio::time::timeout(DEADLINE, both).await.context("not every update was announced")??;
    Ok(Rates { accepted, seen: per_second(load.updates, began) })
}

fn update(nth: Nth, keyed: bool, clock: &dyn Clock) -> anyhow::Result<NewUpdate> {
    let submitter = Subject::new("bench");
    let identity = if keyed {
        UpdateIdentity::Keyed(UpdateId::keyed(&submitter, &format!("bench-{}", nth.0))?)
    } else {
        UpdateIdentity::Keyless
    };
    Ok(NewUpdate {
        identity,
        board: BoardId::main(),
        user: UserId::parse(i64::try_from(nth.user())?)?,
        operator: Operator::Increment(i64::try_from(nth.increment())?),
        accepted_at: clock.now(),
        submitter,
        request: RequestId::new(format!("bench-{:020}", nth.0)),
        reply_to: None,
    })
}
