//! Feeds in a SQLite file of their own, beside the topics in memory: what is published is in the file first.
//!
//! Nothing that was announced is missing from the file (`synchronous=FULL`), so a topic's life goes on after a restart:
//! viewers resume where they were.

mod statements;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow, SqliteSynchronous};
use tokio::sync::Mutex;

use self::statements as sql;
use crate::domain::{Epoch, Event, FeedName, Message, Micros, NewMessage, Position, RingLimits, Stored, TopicName};
use crate::ports::{Clock, FeedNote, FeedStore, PortError, StoredFeed};
use crate::sqlite::{OpenError, SqliteFile, failed};
use crate::topics::MemoryTopics;

const BEGIN: &str = "BEGIN IMMEDIATE";
const PUBLISH: &str = "publish a feed's value";

/// Feeds in a SQLite file.
pub struct SqliteFeeds {
    file: SqliteFile,
    topics: Arc<MemoryTopics>,
    clock: Arc<dyn Clock>,
    /// What the file holds. Locked while it changes, so that nobody sees a value that its topic does not have yet.
    held: Mutex<HashMap<FeedName, StoredFeed>>,
}

impl SqliteFeeds {
    /// Opens or creates the file, brings its schema up to date, and fills the topics of the feeds it knows.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do.
    pub async fn open(path: &Path, topics: Arc<MemoryTopics>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let migrations = sqlx::migrate!("../migrations/sqlite/feeds");
        let file = SqliteFile::open(path, SqliteSynchronous::Full, &[migrations]).await?;
        let feeds = Self { file, topics, clock, held: Mutex::default() };
        feeds.restore().await.map_err(|error| OpenError::reading(path, error))?;
        Ok(feeds)
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.file.close().await;
    }

    /// Prepares every statement, and says which one failed.
    ///
    /// # Errors
    /// The statement's text with the database's error.
    pub async fn prepare_all(&self) -> Result<(), String> {
        self.file.prepare_all(&sql::ALL).await
    }

    async fn restore(&self) -> Result<(), sqlx::Error> {
        let mut held = self.held.lock().await;
        for row in sqlx::query(sql::FEEDS).fetch_all(&self.file.writer).await? {
            let (name, stored, forgotten_until) = feed(&row)?;
            let topic = TopicName::of_feed(&name);
            let messages = sqlx::query(sql::MESSAGES).bind(name.as_str()).fetch_all(&self.file.writer).await?;
            let messages = messages.iter().map(message).collect::<Result<_, _>>()?;
            let Position { epoch, offset: top } = stored.position.clone();
            self.topics.restore(&topic, epoch, Stored { messages, top, forgotten_until });
            held.insert(name, stored);
        }
        Ok(())
    }

    fn begun(&self, feed: &FeedName, held: &mut HashMap<FeedName, StoredFeed>) -> StoredFeed {
        let new = || StoredFeed {
            position: self.topics.position_now(&TopicName::of_feed(feed)),
            latest: None,
            note: FeedNote::default(),
        };
        held.entry(feed.clone()).or_insert_with(new).clone()
    }
}

#[async_trait]
impl FeedStore for SqliteFeeds {
    async fn load(&self, feed: &FeedName) -> Result<StoredFeed, PortError> {
        Ok(self.begun(feed, &mut *self.held.lock().await))
    }

    async fn publish(&self, feed: &FeedName, data: &str, note: &FeedNote) -> Result<StoredFeed, PortError> {
        super::check_value(PUBLISH, data)?;
        let error = failed(PUBLISH);
        let topic = TopicName::of_feed(feed);
        let mut held = self.held.lock().await;
        let before = self.begun(feed, &mut held);
        let position = Position { offset: before.position.offset + 1, epoch: before.position.epoch };
        let at = before.latest.map_or(Micros(i64::MIN), |latest| latest.at).max(self.clock.now());
        let message = NewMessage { event: Event::Value, data: data.into() };
        let latest = Arc::new(message.clone().taken(position.offset, at));
        let stored = StoredFeed { position, latest: Some(Arc::clone(&latest)), note: note.clone() };
        let mut tx = self.file.writer.begin_with(BEGIN).await.map_err(&error)?;
        write(&mut tx, feed, &stored, &latest, self.topics.limits(&topic)).await.map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        self.topics.append_at(&topic, vec![message], at);
        held.insert(feed.clone(), stored.clone());
        Ok(stored)
    }

    async fn note(&self, feed: &FeedName, note: &FeedNote) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let stored = StoredFeed { note: note.clone(), ..self.begun(feed, &mut held) };
        sqlx::query(sql::NOTE)
            .bind(feed.as_str())
            .bind(stored.position.epoch.as_str())
            .bind(i64::try_from(stored.position.offset).unwrap_or(i64::MAX))
            .bind(self.clock.now().0)
            .bind(json(note))
            .execute(&self.file.writer)
            .await
            .map_err(failed("note a feed's fetch"))?;
        held.insert(feed.clone(), stored);
        Ok(())
    }
}

async fn write(
    tx: &mut SqliteConnection,
    feed: &FeedName,
    stored: &StoredFeed,
    latest: &Message,
    limits: RingLimits,
) -> Result<(), sqlx::Error> {
    let offset = i64::try_from(latest.offset).unwrap_or(i64::MAX);
    sqlx::query(sql::ADD_MESSAGE)
        .bind(feed.as_str())
        .bind(offset)
        .bind(latest.at.0)
        .bind(&*latest.data)
        .execute(&mut *tx)
        .await?;
    let kept_after = offset.saturating_sub(i64::try_from(limits.messages).unwrap_or(i64::MAX));
    let forgotten: Vec<i64> = sqlx::query_scalar(sql::FORGET_MESSAGES)
        .bind(feed.as_str())
        .bind(kept_after)
        .bind(latest.at.0.saturating_sub(limits.age_us))
        .fetch_all(&mut *tx)
        .await?;
    sqlx::query(sql::PUBLISH)
        .bind(feed.as_str())
        .bind(stored.position.epoch.as_str())
        .bind(offset)
        // Of a feed that begins: its topic began no later.
        .bind(latest.at.0)
        .bind(forgotten.into_iter().max())
        .bind(latest.at.0)
        .bind(&*latest.data)
        .bind(json(&stored.note))
        .execute(&mut *tx)
        .await?;
    Ok(())
}

fn json(note: &FeedNote) -> String {
    // Plain structs of strings and numbers always serialise.
    serde_json::to_string(note).unwrap_or_default()
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A feed, and when the newest message was written that its ring no longer keeps.
fn feed(row: &SqliteRow) -> Result<(FeedName, StoredFeed, Micros), sqlx::Error> {
    let name = FeedName::parse(row.try_get::<String, _>("name")?).map_err(decode)?;
    let epoch = Epoch::parse(row.try_get("epoch")?).map_err(decode)?;
    let offset = row.try_get::<i64, _>("top")?.unsigned_abs();
    let latest = match (row.try_get::<Option<i64>, _>("latest_at")?, row.try_get::<Option<String>, _>("latest_data")?) {
        (Some(at), Some(data)) => {
            Some(Arc::new(Message { offset, at: Micros(at), event: Event::Value, data: data.into() }))
        }
        _ => None,
    };
    let note = super::read_note(&name, row.try_get("note")?);
    let stored = StoredFeed { position: Position { epoch, offset }, latest, note };
    Ok((name, stored, Micros(row.try_get("forgotten")?)))
}

fn message(row: &SqliteRow) -> Result<Message, sqlx::Error> {
    Ok(Message {
        offset: row.try_get::<i64, _>("offset")?.unsigned_abs(),
        at: Micros(row.try_get("at")?),
        event: Event::Value,
        data: row.try_get::<String, _>("data")?.into(),
    })
}
