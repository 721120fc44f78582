//! Who is connected: places for viewers within the limits, how far behind each is, and those who are too slow.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use scorewire_core::domain::{Micros, Subject, TopicName};
use scorewire_core::metrics::{Metrics, Transport};
use scorewire_core::settings::Settings;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::close::Close;
use super::subscription::Progress;
use super::tail::Behind;

/// What a viewer that was told to end may take for it before its connection is cut.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How many viewers there may be, and how slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewerLimits {
    total: usize,
    per_ip: usize,
    per_subject: usize,
    bytes: u64,
    delay: Duration,
    stall: Duration,
}

impl ViewerLimits {
    pub(crate) const fn from_settings(settings: &Settings) -> Self {
        Self {
            total: settings.max_viewers,
            per_ip: settings.max_viewers_per_ip,
            per_subject: settings.max_viewers_per_subject,
            bytes: settings.viewer_max_bytes.0 as u64,
            delay: settings.viewer_max_delay.0,
            stall: settings.write_timeout.0,
        }
    }
}

/// Somebody who asks for a stream.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// Whose token it is, if there is one.
    pub(crate) subject: Option<Subject>,
    pub(crate) transport: Transport,
    /// Cancelling it ends the connection at once.
    pub(crate) cut: CancellationToken,
}

/// A connected viewer, as others see it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) visitor: Visitor,
    pub(crate) since: Micros,
    followed: Mutex<Vec<Arc<Progress>>>,
    /// When the connection was given something it has not taken yet, in µs; 0: it waits for more.
    handed: AtomicI64,
    delivered: AtomicU64,
    ending: OnceLock<(Close, Micros)>,
    told: Notify,
}

impl Entry {
    pub(super) fn follow(&self, progress: Arc<Progress>) {
        self.lock().push(progress);
    }

    pub(super) fn unfollow(&self, topic: &TopicName) {
        self.lock().retain(|progress| progress.tail.topic() != topic);
    }

    /// Notes that the connection was given something, or that it asks for more.
    pub(super) fn hand(&self, at: Option<Micros>) {
        self.handed.store(at.map_or(0, |at| at.0), Ordering::Relaxed);
    }

    /// Messages handed to its connection so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(super) fn deliver(&self, messages: u64) {
        self.delivered.fetch_add(messages, Ordering::Relaxed);
    }

    /// Why it must end, once that is decided.
    pub(crate) fn ending(&self) -> Option<Close> {
        self.ending.get().map(|(close, _)| *close)
    }

    /// Returns when it must end.
    pub(super) async fn ended(&self) {
        loop {
            let told = self.told.notified();
            if self.ending.get().is_some() {
                return;
            }
            told.await;
        }
    }

    /// Tells it to end.
    fn end(&self, close: Close, now: Micros) {
        if self.ending.set((close, now)).is_ok() {
            self.told.notify_waiters();
        }
    }

    /// How far behind it is in each topic.
    pub(crate) fn behind(&self) -> Vec<(TopicName, Behind)> {
        let of = |progress: &Arc<Progress>| {
            let offset = progress.offset.load(Ordering::Relaxed);
            (progress.tail.topic().clone(), progress.tail.behind(offset))
        };
        self.lock().iter().map(of).collect()
    }

    /// Since when its connection takes nothing.
    pub(crate) fn stalled_since(&self) -> Option<Micros> {
        Some(Micros(self.handed.load(Ordering::Relaxed))).filter(|at| at.0 != 0)
    }

    fn is_too_slow(&self, limits: &ViewerLimits, now: Micros) -> bool {
        let over =
            |since: Micros, limit: Duration| u128::try_from(now.0 - since.0).is_ok_and(|us| us > limit.as_micros());
        if self.stalled_since().is_some_and(|since| over(since, limits.stall)) {
            return true;
        }
        self.lock().iter().filter(|p| !p.lenient && p.live.load(Ordering::Relaxed)).any(|progress| {
            let behind = progress.tail.behind(progress.offset.load(Ordering::Relaxed));
            behind.bytes > limits.bytes || behind.since.is_some_and(|since| over(since, limits.delay))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Places {
    entries: HashMap<u64, Arc<Entry>>,
    by_ip: HashMap<IpAddr, usize>,
    by_subject: HashMap<Subject, usize>,
    next: u64,
}

/// All viewers of this process.
pub(crate) struct Registry {
    limits: ViewerLimits,
    metrics: Arc<Metrics>,
    places: Mutex<Places>,
}

impl Registry {
    pub(super) fn new(limits: ViewerLimits, metrics: Arc<Metrics>) -> Self {
        Self { limits, metrics, places: Mutex::default() }
    }

    /// A place for a viewer, if the limits leave one.
    pub(super) fn admit(self: &Arc<Self>, visitor: Visitor, now: Micros) -> Option<Seat> {
        let mut places = self.lock();
        let count = |held: Option<&usize>| held.copied().unwrap_or_default();
        let of_ip = count(places.by_ip.get(&visitor.address));
        let of_subject = visitor.subject.as_ref().map_or(0, |subject| count(places.by_subject.get(subject)));
        if places.entries.len() >= self.limits.total
            || of_ip >= self.limits.per_ip
            || of_subject >= self.limits.per_subject
        {
            return None;
        }
        places.by_ip.insert(visitor.address, of_ip + 1);
        if let Some(subject) = &visitor.subject {
            places.by_subject.insert(subject.clone(), of_subject + 1);
        }
        let id = places.next;
        places.next += 1;
        let entry = Arc::new(Entry {
            visitor,
            since: now,
            followed: Mutex::default(),
            handed: AtomicI64::new(0),
            delivered: AtomicU64::new(0),
            ending: OnceLock::new(),
            told: Notify::new(),
        });
        places.entries.insert(id, Arc::clone(&entry));
        self.metrics.viewers.inc();
        Some(Seat { registry: Arc::clone(self), id, entry })
    }

    /// Every viewer and its number.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<Entry>)> {
        self.lock().entries.iter().map(|(id, entry)| (*id, Arc::clone(entry))).collect()
    }

    /// Tells viewers that are too slow to end, cuts off those that do not, and counts what is not sent yet.
    pub(super) fn sweep(&self, now: Micros) {
        let mut waiting = 0;
        for (_, entry) in self.all() {
            waiting += entry.behind().iter().map(|(_, behind)| behind.bytes).sum::<u64>();
            match entry.ending.get() {
                Some((_, since)) if now.0 - since.0 > i64::try_from(LAST_WORDS.as_micros()).unwrap_or(i64::MAX) => {
                    entry.visitor.cut.cancel();
                }
                Some(_) => {}
                None if entry.is_too_slow(&self.limits, now) => entry.end(Close::SlowViewer, now),
                None => {}
            }
        }
        self.metrics.viewer_queue_bytes.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer's place; given back when dropped.
pub(super) struct Seat {
    registry: Arc<Registry>,
    id: u64,
    pub(super) entry: Arc<Entry>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut places = self.registry.lock();
        let Places { entries, by_ip, by_subject, .. } = &mut *places;
        entries.remove(&self.id);
        give_back(by_ip, &self.entry.visitor.address);
        if let Some(subject) = &self.entry.visitor.subject {
            give_back(by_subject, subject);
        }
        drop(places);
        // A viewer that was cut off took no last words.
        if let Some(close) = self.entry.ending().filter(|_| self.entry.visitor.cut.is_cancelled()) {
            self.registry.metrics.closed(self.entry.visitor.transport, close.code());
        }
        self.registry.metrics.viewers.dec();
    }
}

fn give_back<K: std::hash::Hash + Eq>(held: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = held.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            held.remove(key);
        }
    }
}
