//! How stores of feeds are set up for their suite.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use scorewire_core::domain::{Keeping, RingLimits, TopicName};
use scorewire_core::feeds::{RedisFeeds, SqliteFeeds};
use scorewire_core::ports::{FeedStore, Topics};
use scorewire_core::redis::RedisHandle;
use scorewire_core::topics::{MemoryTopics, RedisTopics};
use tempfile::TempDir;

use super::adapters::{JumpyClock, redis};
use super::feed_store;
use crate::redis_server::PrivateRedis;

fn keeping_of_feeds() -> Arc<Keeping> {
    let short = TopicName::parse("feed:short").expect("a topic");
    let limits = RingLimits { messages: 1_000, age_us: 3_600_000_000 };
    Arc::new(Keeping::alike(limits).with(short, RingLimits { messages: feed_store::KEPT, ..limits }))
}

struct SqliteFeedsInTopics {
    path: PathBuf,
    store: SqliteFeeds,
    topics: Arc<MemoryTopics>,
}

async fn sqlite_feeds_at(path: PathBuf) -> Arc<dyn feed_store::Feeds> {
    let topics = Arc::new(MemoryTopics::new(keeping_of_feeds(), Arc::new(JumpyClock::default())));
    let store = SqliteFeeds::open(&path, Arc::clone(&topics), Arc::new(JumpyClock::default())).await.expect("feeds");
    Arc::new(SqliteFeedsInTopics { path, store, topics })
}

pub(super) async fn sqlite_feeds() -> (TempDir, Arc<dyn feed_store::Feeds>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let feeds = sqlite_feeds_at(dir.path().join("feeds.db")).await;
    (dir, feeds)
}

#[async_trait]
impl feed_store::Feeds for SqliteFeedsInTopics {
    fn store(&self) -> &dyn FeedStore {
        &self.store
    }

    fn topics(&self) -> &dyn Topics {
        &*self.topics
    }

    async fn next_process(&self) -> Arc<dyn feed_store::Feeds> {
        self.store.close().await;
        sqlite_feeds_at(self.path.clone()).await
    }

    async fn prepare_all(&self) -> Result<(), String> {
        self.store.prepare_all().await
    }
}

struct RedisFeedsInTopics {
    handle: RedisHandle,
    store: RedisFeeds,
    topics: Arc<RedisTopics>,
}

async fn redis_feeds_on(handle: RedisHandle) -> Arc<dyn feed_store::Feeds> {
    let topics = Arc::new(RedisTopics::start(handle.clone(), keeping_of_feeds()).await.expect("topics"));
    Arc::new(RedisFeedsInTopics { handle, store: RedisFeeds::new(Arc::clone(&topics)), topics })
}

pub(super) async fn redis_feeds() -> (Arc<PrivateRedis>, Arc<dyn feed_store::Feeds>) {
    let (server, handle) = redis().await;
    (server, redis_feeds_on(handle).await)
}

#[async_trait]
impl feed_store::Feeds for RedisFeedsInTopics {
    fn store(&self) -> &dyn FeedStore {
        &self.store
    }

    fn topics(&self) -> &dyn Topics {
        &*self.topics
    }

    async fn next_process(&self) -> Arc<dyn feed_store::Feeds> {
        redis_feeds_on(self.handle.clone()).await
    }

    async fn prepare_all(&self) -> Result<(), String> {
        Ok(())
    }
}
