//! Reads feeds for those who watch: what is stored, and what was last read while the store is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::FeedName;
use crate::ports::{FeedStore, PortError, StoredFeed};

/// How long the store may take while there is an earlier answer to give.
const PATIENCE: Duration = Duration::from_secs(1);

/// A feed as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What is stored.
    pub stored: StoredFeed,
    /// The store could not be asked: this is what it last said.
    pub remembered: bool,
}

/// Reads feeds for one process.
pub struct FeedShelf {
    store: Arc<dyn FeedStore>,
    last: Mutex<HashMap<FeedName, StoredFeed>>,
}

impl FeedShelf {
    /// Nothing is remembered yet.
    #[must_use]
    pub fn new(store: Arc<dyn FeedStore>) -> Self {
        Self { store, last: Mutex::default() }
    }

    /// A feed as it is stored now, or as it was last read.
    ///
    /// # Errors
    /// When the store can not be asked and never answered before.
    pub async fn read(&self, feed: &FeedName) -> Result<Shown, PortError> {
        let loading = self.store.load(feed);
        let remembered = self.last().get(feed).cloned();
        let Some(remembered) = remembered else { return Ok(self.remember(feed, loading.await?)) };
        match tokio::time::timeout(PATIENCE, loading).await {
            Ok(Ok(stored)) => Ok(self.remember(feed, stored)),
            Ok(Err(_)) | Err(_) => Ok(Shown { stored: remembered, remembered: true }),
        }
    }

    fn remember(&self, feed: &FeedName, stored: StoredFeed) -> Shown {
        self.last().insert(feed.clone(), stored.clone());
        Shown { stored, remembered: false }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<FeedName, StoredFeed>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
