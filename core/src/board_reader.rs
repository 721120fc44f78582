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

impl Last {
    /// The rows of a board's last snapshot.
    fn shown(&self, board: &BoardId) -> Option<(Vec<BoardRow>, Instant)> {
        let (snapshot, at) = self.snapshots.get(board)?;
        Some((serde_json::from_str(&snapshot.top).ok()?, *at))
    }
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
        let read = now_or_last(asked, || self.memory.last_page(&page)).await?;
        if read.stale.is_none() && self.crowd.is_some() {
            self.memory.remember_page(page, &read.value);
        }
        Ok(read)
    }

    /// Where a user stands; while the rankings are away, as it was last read among others.
    ///
    /// # Errors
    /// When the rankings can not be asked and no rows that were seen before hold the user.
    pub async fn row(&self, board: &BoardId, user: UserId) -> Result<Read<Option<BoardRow>>, Arc<PortError>> {
        now_or_last(self.memory.rankings.row(board, user), || self.memory.last_row(board, user)).await
    }
}

fn aged<T>((value, at): (T, Instant)) -> Read<T> {
    Read { value, stale: Some(at.elapsed()) }
}

const fn current<T>(value: T) -> Read<T> {
    Read { value, stale: None }
}

/// The answer of the rankings or, while they are away, the last one. A server that hangs is as good as away: when time is
/// up and there is a last answer, that one is given; else the rankings may take what they take.
async fn now_or_last<T>(
    asked: impl Future<Output = Result<T, PortError>>,
    last: impl Fn() -> Option<Read<T>>,
) -> Result<Read<T>, Arc<PortError>> {
    let mut asked = std::pin::pin!(asked);
    let answer = match tokio::time::timeout(PATIENCE, &mut asked).await {
        Ok(answer) => answer,
        Err(_) => match last() {
            Some(read) => return Ok(read),
            None => asked.await,
        },
    };
    match answer {
        Ok(value) => Ok(current(value)),
        Err(error) if error.kind == FailureKind::Unavailable => last().ok_or_else(|| Arc::new(error)),
        Err(error) => Err(error.into()),
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
        let last = || self.last().snapshots.get(board).cloned().map(aged);
        let read = now_or_last(self.rankings.snapshot(board), last).await?;
        if read.stale.is_none() {
            self.last().snapshots.insert(board.clone(), (read.value.clone(), Instant::now()));
        }
        Ok(read)
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
        let shown = last.shown(board).and_then(|(rows, at)| {
            let rows = rows.get(*offset..offset.saturating_add(*limit)).map(<[_]>::to_vec)?;
            Some((rows, at))
        });
        seen.into_iter().chain(shown).max_by_key(|(_, at)| *at).map(aged)
    }

    /// The user's row in what was last read of the board.
    fn last_row(&self, board: &BoardId, user: UserId) -> Option<Read<Option<BoardRow>>> {
        let last = self.last();
        let pages = last.pages.iter().filter(|((of, ..), _)| of == board).map(|(_, page)| page.clone());
        let rows = pages.chain(last.shown(board)).filter_map(|(rows, at)| {
            let row = rows.into_iter().find(|row| row.user_id == user.get())?;
            Some((row, at))
        });
        rows.max_by_key(|(_, at)| *at).map(|(row, at)| aged((Some(row), at)))
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
