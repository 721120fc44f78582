//! Reading boards for the people who watch them: one question to the rankings for a crowd, and the last answer while
//! the rankings are away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::domain::{BoardId, Event, Position, TopicName, UserId};
use crate::ports::{Announcement, BoardRow, BoardSnapshot, FailureKind, PortError, Rankings, Topics};

/// Pages remembered at most; snapshots are always remembered.
const PAGES: usize = 256;
/// How long rankings may take while there is an earlier answer to give.
const PATIENCE: Duration = Duration::from_secs(1);
/// Readers that may wait for an answer before others have to wait to ask.
const WAITING: usize = 4_096;

/// An answer, and how long ago it was true if the rankings could not be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// The answer.
    pub value: T,
    /// `None` when it is true now; else the time since it was.
    pub stale: Option<Duration>,
}

type Shared = Result<Read<BoardSnapshot>, Arc<PortError>>;
type Page = (BoardId, usize, usize);

/// Reads boards for one process.
pub struct BoardReader {
    memory: Arc<Memory>,
    /// `None` where rankings answer at once and can not be away.
    crowd: Option<mpsc::Sender<(BoardId, oneshot::Sender<Shared>)>>,
}

/// The rankings and their last answers.
struct Memory {
    rankings: Arc<dyn Rankings>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    snapshots: HashMap<BoardId, (BoardSnapshot, Instant)>,
    pages: HashMap<Page, (Vec<BoardRow>, Instant)>,
}

impl BoardReader {
    /// Reads rankings in this process's memory.
    #[must_use]
    pub fn direct(rankings: Arc<dyn Rankings>) -> Self {
        Self { memory: Arc::new(Memory { rankings, last: Mutex::default() }), crowd: None }
    }

    /// Reads rankings elsewhere: readers that come while a question is under way share the next one, and what topics
    /// announce keeps the last answer fresh. Must be called within a tokio runtime.
    #[must_use]
    pub fn shared(rankings: Arc<dyn Rankings>, topics: &dyn Topics) -> Self {
        let memory = Arc::new(Memory { rankings, last: Mutex::default() });
        let (crowd, waiting) = mpsc::channel(WAITING);
        tokio::spawn(ask(Arc::clone(&memory), waiting));
        tokio::spawn(listen(Arc::downgrade(&memory), topics.announcements()));
        Self { memory, crowd: Some(crowd) }
    }

    /// The top of a board with its place in the topic.
    ///
    /// # Errors
    /// When the rankings can not be asked and never answered before.
    pub async fn snapshot(&self, board: &BoardId) -> Result<Read<BoardSnapshot>, Arc<PortError>> {
        let Some(crowd) = &self.crowd else { return Ok(current(self.memory.rankings.snapshot(board).await?)) };
        let (reply, answer) = oneshot::channel();
        // The asking task lives as long as this reader.
        let _ = crowd.send((board.clone(), reply)).await;
        answer
            .await
            .unwrap_or_else(|gone| Err(Arc::new(PortError::new("read a board", FailureKind::Unavailable, gone))))
    }

    /// Rows `offset .. offset + limit`.
    ///
    /// # Errors
    /// When the rankings can not be asked and these rows were not seen before.
    pub async fn page(
        &self,
        board: &BoardId,
        offset: usize,
        limit: usize,
    ) -> Result<Read<Vec<BoardRow>>, Arc<PortError>> {
        let page = (board.clone(), offset, limit);
        let asked = self.memory.rankings.page(board, offset, limit);
        match patiently(asked, || self.memory.last_page(&page).is_some()).await {
            Ok(rows) => {
                if self.crowd.is_some() {
                    self.memory.remember_page(page, &rows);
                }
                Ok(current(rows))
            }
            Err(error) if error.kind == FailureKind::Unavailable => {
                self.memory.last_page(&page).ok_or_else(|| Arc::new(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where a user stands; while the rankings are away, as it was last read among others.
    ///
    /// # Errors
    /// When the rankings can not be asked and no rows that were seen before hold the user.
    pub async fn row(&self, board: &BoardId, user: UserId) -> Result<Read<Option<BoardRow>>, Arc<PortError>> {
        let asked = self.memory.rankings.row(board, user);
        match patiently(asked, || self.memory.last_row(board, user).is_some()).await {
            Ok(row) => Ok(current(row)),
            Err(error) if error.kind == FailureKind::Unavailable => {
                self.memory.last_row(board, user).ok_or_else(|| Arc::new(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

const fn current<T>(value: T) -> Read<T> {
    Read { value, stale: None }
}

/// Asks the rankings. A server that hangs is as good as away: when time is up and there is an earlier answer, that one is
/// to be given; else the rankings may take what they take.
async fn patiently<T>(
    asked: impl Future<Output = Result<T, PortError>>,
    answered_before: impl Fn() -> bool,
) -> Result<T, PortError> {
    let mut asked = std::pin::pin!(asked);
    match tokio::time::timeout(PATIENCE, &mut asked).await {
        Ok(answer) => answer,
        Err(elapsed) if answered_before() => Err(PortError::new("read a board", FailureKind::Unavailable, elapsed)),
        Err(_) => asked.await,
    }
}

/// Asks for snapshots, one question at a time for all who wait.
async fn ask(memory: Arc<Memory>, mut waiting: mpsc::Receiver<(BoardId, oneshot::Sender<Shared>)>) {
    let mut readers = Vec::new();
    while waiting.recv_many(&mut readers, WAITING).await > 0 {
        let mut boards: HashMap<BoardId, Vec<oneshot::Sender<Shared>>> = HashMap::new();
        for (board, reply) in readers.drain(..) {
            boards.entry(board).or_default().push(reply);
        }
        for (board, replies) in boards {
            let answer = memory.snapshot(&board).await;
            for reply in replies {
                // A reader that went away needs no answer.
                let _ = reply.send(answer.clone());
            }
        }
    }
}

/// Takes the tops that topics announce, so that the last answer is as new as what viewers saw.
async fn listen(memory: std::sync::Weak<Memory>, mut announcements: tokio::sync::broadcast::Receiver<Announcement>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match announcements.recv().await {
            Ok(announced) => match memory.upgrade() {
                Some(memory) => memory.hear(&announced),
                None => return,
            },
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

impl Memory {
    async fn snapshot(&self, board: &BoardId) -> Shared {
        let last = || self.last().snapshots.get(board).cloned();
        let answer = patiently(self.rankings.snapshot(board), || last().is_some()).await;
        match answer {
            Ok(snapshot) => {
                self.last().snapshots.insert(board.clone(), (snapshot.clone(), Instant::now()));
                Ok(current(snapshot))
            }
            Err(error) if error.kind == FailureKind::Unavailable => {
                last().map(|(value, at)| Read { value, stale: Some(at.elapsed()) }).ok_or_else(|| Arc::new(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn hear(&self, announced: &Announcement) {
        let Some(top) = announced.messages.iter().rev().find(|message| message.event == Event::Top) else { return };
        let mut last = self.last();
        // Only boards that somebody reads are remembered.
        let read = last.snapshots.iter_mut().find(|(board, _)| TopicName::of_board(board) == announced.topic);
        if let Some((_, held)) = read {
            let position = Position { epoch: announced.epoch.clone(), offset: top.offset };
            *held = (BoardSnapshot { position, top: Arc::clone(&top.data) }, Instant::now());
        }
    }

    fn remember_page(&self, page: Page, rows: &[BoardRow]) {
        let mut last = self.last();
        if last.pages.len() >= PAGES && !last.pages.contains_key(&page) {
            let oldest = last.pages.iter().min_by_key(|(_, (_, at))| *at).map(|(page, _)| page.clone());
            oldest.map(|page| last.pages.remove(&page));
        }
        last.pages.insert(page, (rows.to_vec(), Instant::now()));
    }

    /// The page as it was last read, or as the last snapshot shows it.
    fn last_page(&self, page: &Page) -> Option<Read<Vec<BoardRow>>> {
        let last = self.last();
        let (board, offset, limit) = page;
        let seen = last.pages.get(page).cloned();
        let shown = last.snapshots.get(board).and_then(|(snapshot, at)| {
            let rows: Vec<BoardRow> = serde_json::from_str(&snapshot.top).ok()?;
            let rows = rows.get(*offset..offset.saturating_add(*limit)).map(<[_]>::to_vec)?;
            Some((rows, *at))
        });
        let newest = seen.into_iter().chain(shown).max_by_key(|(_, at)| *at);
        newest.map(|(value, at)| Read { value, stale: Some(at.elapsed()) })
    }

    /// The user's row in what was last read of the board.
    fn last_row(&self, board: &BoardId, user: UserId) -> Option<Read<Option<BoardRow>>> {
        let last = self.last();
        let shown = last.snapshots.get(board).and_then(|(snapshot, at)| {
            let rows: Vec<BoardRow> = serde_json::from_str(&snapshot.top).ok()?;
            Some((rows, *at))
        });
        let pages = last.pages.iter().filter(|((of, ..), _)| of == board).map(|(_, page)| page.clone());
        let rows = pages.chain(shown).filter_map(|(rows, at)| {
            let row = rows.into_iter().find(|row| row.user_id == user.get())?;
            Some((row, at))
        });
        let (row, at) = rows.max_by_key(|(_, at)| *at)?;
        Some(Read { value: Some(row), stale: Some(at.elapsed()) })
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
