//! The newest messages of a topic in this process, encoded once for all its viewers.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use scorewire_core::domain::{Epoch, Message, Micros, Position, TopicName};
use scorewire_core::ports::Announcement;
use tokio::sync::watch;

use super::frame::Frame;

/// Messages kept at most for viewers that are a little behind; one further behind reads the topic itself.
const KEPT: usize = 1_024;

#[derive(Debug, Default)]
struct Frames {
    epoch: Option<Arc<Epoch>>,
    /// The newest offset, where it is known although no message is held.
    base: Option<u64>,
    /// Consecutive offsets, oldest first.
    frames: VecDeque<Arc<Frame>>,
}

impl Frames {
    fn newest(&self) -> Option<Position> {
        let offset = self.frames.back().map(|frame| frame.offset()).or(self.base)?;
        Some(Position { epoch: self.epoch.as_deref()?.clone(), offset })
    }
}

/// How much a viewer has not been sent yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) messages: u64,
    /// Of data; what the tail no longer holds is not counted.
    pub(crate) bytes: u64,
    /// When the first of them was published, as far as the tail knows.
    pub(crate) since: Option<Micros>,
}

/// What the tail has for a viewer.
#[derive(Debug)]
pub(super) enum Newer {
    /// The next messages, at least one.
    Frames(Vec<Arc<Frame>>),
    /// Nothing newer.
    Nothing,
    /// The tail does not reach back to (or ahead to) the viewer's place.
    Unknown,
}

/// The tail of one topic.
#[derive(Debug)]
pub(super) struct Tail {
    topic: TopicName,
    frames: RwLock<Frames>,
    kept: usize,
    changed: watch::Sender<()>,
}

impl Tail {
    /// An empty tail; `topic_messages` is how many the topic itself keeps, which the tail never exceeds.
    pub(super) fn new(topic: TopicName, topic_messages: usize) -> Self {
        Self { topic, frames: RwLock::default(), kept: KEPT.min(topic_messages), changed: watch::Sender::new(()) }
    }

    /// Wakes its holder whenever the tail grows.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The topic.
    pub(super) fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Takes what was announced, as far as it is new.
    pub(super) fn extend(&self, announced: &Announcement) {
        let mut tail = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let known = tail.newest().filter(|newest| newest.epoch == announced.epoch).map(|newest| newest.offset);
        let new: Vec<_> =
            announced.messages.iter().filter(|message| known.is_none_or(|known| message.offset > known)).collect();
        let follows = match (known, new.first()) {
            (Some(known), Some(first)) => first.offset == known + 1,
            // Nothing new of a life that is known: all of it was read before.
            (Some(_), None) => !announced.messages.is_empty(),
            (None, _) => false,
        };
        if !follows {
            // Something was missed: viewers find that out by their offsets and read the topic.
            tail.frames.clear();
            tail.base = None;
            tail.epoch = Some(Arc::new(announced.epoch.clone()));
        }
        let mut bytes = tail.frames.back().map_or(0, |newest| newest.bytes_before_next);
        if let Some(epoch) = tail.epoch.clone() {
            for message in new {
                let frame = Frame::new(&self.topic, &epoch, message, bytes);
                bytes = frame.bytes_before_next;
                tail.frames.push_back(Arc::new(frame));
            }
        }
        let excess = tail.frames.len().saturating_sub(self.kept);
        tail.frames.drain(..excess);
        drop(tail);
        self.changed.send_replace(());
    }

    /// The place after its newest message, if it has any.
    pub(super) fn newest(&self) -> Option<Position> {
        self.frames.read().unwrap_or_else(PoisonError::into_inner).newest()
    }

    /// Its newest message, if it holds that.
    pub(super) fn latest(&self) -> Option<Arc<Frame>> {
        self.frames.read().unwrap_or_else(PoisonError::into_inner).frames.back().cloned()
    }

    /// The topic's newest message as it was read, held from now on unless more is known: one who asked has asked for all.
    pub(super) fn hold(&self, epoch: &Epoch, message: &Arc<Message>) -> Arc<Frame> {
        let mut tail = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let place = Position { epoch: epoch.clone(), offset: message.offset };
        if let Some(held) = tail.frames.back().filter(|held| held.position() == place) {
            return Arc::clone(held);
        }
        let frame = Arc::new(Frame::new(&self.topic, &Arc::new(epoch.clone()), message, 0));
        if tail.frames.is_empty() && tail.newest().is_none_or(|newest| newest == place) {
            tail.epoch = Some(Arc::clone(&frame.epoch));
            tail.frames.push_back(Arc::clone(&frame));
        }
        frame
    }

    /// Whether what was announced follows what is here without a gap. "Look again" never does.
    pub(super) fn is_followed_by(&self, announced: &Announcement) -> bool {
        match (self.newest(), announced.messages.first()) {
            (Some(newest), Some(first)) => newest.epoch == announced.epoch && first.offset <= newest.offset + 1,
            _ => false,
        }
    }

    /// Notes a place after which the topic had nothing, so that viewers who stand there need not ask the topic.
    pub(super) fn stands_at(&self, position: &Position) {
        let mut tail = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        if tail.newest().is_none() {
            tail.epoch = Some(Arc::new(position.epoch.clone()));
            tail.base = Some(position.offset);
        }
    }

    /// At most `limit` messages right after a position.
    pub(super) fn after(&self, position: &Position, limit: usize) -> Newer {
        let tail = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        match tail.newest() {
            Some(newest) if newest == *position => return Newer::Nothing,
            Some(newest) if newest.epoch == position.epoch && position.offset < newest.offset => {}
            _ => return Newer::Unknown,
        }
        let Some(oldest) = tail.frames.front() else { return Newer::Unknown };
        let next = position.offset + 1;
        if next < oldest.offset() {
            return Newer::Unknown;
        }
        let skip = usize::try_from(next - oldest.offset()).unwrap_or(usize::MAX);
        Newer::Frames(tail.frames.iter().skip(skip).take(limit).cloned().collect())
    }

    /// How far a place in the tail's own life lies behind its newest message.
    pub(super) fn behind(&self, offset: u64) -> Behind {
        let tail = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(oldest), Some(newest)) = (tail.frames.front(), tail.frames.back()) else { return Behind::default() };
        let messages = newest.offset().saturating_sub(offset);
        if messages == 0 {
            return Behind::default();
        }
        let skip = usize::try_from((offset + 1).saturating_sub(oldest.offset())).unwrap_or(usize::MAX);
        let next = tail.frames.get(skip).unwrap_or(oldest);
        let before = next.bytes_before_next - next.message.data.len() as u64;
        Behind { messages, bytes: newest.bytes_before_next - before, since: Some(next.message.at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scorewire_core::domain::{BoardId, Event, Message};

    fn tail() -> Tail {
        Tail::new(TopicName::of_board(&BoardId::main()), usize::MAX)
    }

    fn announce(epoch: &str, offsets: std::ops::RangeInclusive<u64>) -> Announcement {
        let message = |offset| Arc::new(Message { offset, at: Micros(0), event: Event::Update, data: "{}".into() });
        Announcement {
            topic: TopicName::of_board(&BoardId::main()),
            epoch: Epoch::parse(epoch).expect("valid"),
            messages: offsets.map(message).collect(),
        }
    }

    fn after(tail: &Tail, position: &str, limit: usize) -> Option<Vec<u64>> {
        match tail.after(&position.parse().expect("valid"), limit) {
            Newer::Frames(frames) => Some(frames.iter().map(|f| f.offset()).collect()),
            Newer::Nothing => Some(vec![]),
            Newer::Unknown => None,
        }
    }

    #[test]
    fn a_viewer_gets_what_follows_its_place_or_is_sent_to_the_topic() {
        let tail = tail();
        assert_eq!(after(&tail, "e1:0", 9), None);
        tail.extend(&announce("e1", 5..=8));
        assert_eq!(after(&tail, "e1:4", 9), Some(vec![5, 6, 7, 8]));
        assert_eq!(after(&tail, "e1:6", 1), Some(vec![7]));
        assert_eq!(after(&tail, "e1:8", 9), Some(vec![]));
        assert_eq!(after(&tail, "e1:3", 9), None, "message 4 is not here");
        assert_eq!(after(&tail, "e1:9", 9), None, "not announced yet");
        assert_eq!(after(&tail, "e2:6", 9), None, "another life");
    }

    #[test]
    fn a_gap_in_what_is_announced_is_never_papered_over() {
        let tail = tail();
        tail.extend(&announce("e1", 1..=3));
        tail.extend(&announce("e1", 6..=7));
        assert_eq!(after(&tail, "e1:3", 9), None);
        assert_eq!(after(&tail, "e1:5", 9), Some(vec![6, 7]));
        tail.extend(&announce("e2", 1..=1));
        assert_eq!(after(&tail, "e1:7", 9), None);
        assert_eq!(after(&tail, "e2:0", 9), Some(vec![1]));
    }

    #[test]
    fn what_is_told_twice_is_taken_once() {
        let tail = tail();
        tail.extend(&announce("e1", 1..=5));
        tail.extend(&announce("e1", 3..=4));
        assert_eq!(after(&tail, "e1:0", 9), Some(vec![1, 2, 3, 4, 5]));
        tail.extend(&announce("e1", 4..=7));
        assert_eq!(after(&tail, "e1:0", 9), Some(vec![1, 2, 3, 4, 5, 6, 7]));
        assert!(tail.is_followed_by(&announce("e1", 8..=8)) && !tail.is_followed_by(&announce("e1", 9..=9)));
    }

    #[test]
    fn the_tail_is_bounded() {
        let tail = tail();
        tail.extend(&announce("e1", 1..=KEPT as u64 + 10));
        assert_eq!(after(&tail, "e1:9", 9), None);
        assert_eq!(after(&tail, "e1:10", 1), Some(vec![11]));
    }

    #[test]
    fn what_a_viewer_has_not_been_sent_is_counted() {
        let tail = tail();
        assert_eq!(tail.behind(0), Behind::default());
        tail.extend(&announce("e1", 5..=8));
        assert_eq!(tail.behind(8), Behind::default());
        assert_eq!(tail.behind(6), Behind { messages: 2, bytes: 4, since: Some(Micros(0)) });
        assert_eq!(tail.behind(1), Behind { messages: 7, bytes: 8, since: Some(Micros(0)) }, "as far as it is held");
    }

    #[test]
    fn the_newest_message_is_read_once_for_all() {
        let message = |offset| Arc::clone(&announce("e1", offset..=offset).messages[0]);
        let epoch = Epoch::parse("e1").expect("valid");
        let tail = tail();
        assert!(tail.latest().is_none());
        let held = tail.hold(&epoch, &message(7));
        assert!(Arc::ptr_eq(&held, &tail.hold(&epoch, &message(7))));
        assert_eq!(after(&tail, "e1:6", 9), Some(vec![7]));
        tail.extend(&announce("e1", 8..=8));
        assert_eq!(after(&tail, "e1:6", 9), Some(vec![7, 8]));
        assert_eq!(tail.hold(&epoch, &message(7)).offset(), 7);
        assert_eq!(tail.latest().map(|frame| frame.offset()), Some(8), "what was announced is newer");
        let other = Epoch::parse("e2").expect("valid");
        assert_eq!(tail.hold(&other, &message(9)).position().to_string(), "e2:9");
        assert_eq!(tail.latest().map(|frame| frame.offset()), Some(8), "what was announced is believed");
        let standing = self::tail();
        standing.stands_at(&"e1:7".parse().expect("valid"));
        standing.hold(&epoch, &message(7));
        assert_eq!(after(&standing, "e1:6", 9), Some(vec![7]));
    }

    #[test]
    fn a_place_after_which_nothing_came_is_no_question_to_the_topic() {
        let tail = tail();
        tail.stands_at(&"e1:7".parse().expect("valid"));
        assert_eq!(after(&tail, "e1:7", 9), Some(vec![]));
        assert_eq!(after(&tail, "e1:6", 9), None);
        tail.extend(&announce("e1", 8..=8));
        assert_eq!(after(&tail, "e1:7", 9), Some(vec![8]));
        tail.stands_at(&"e1:3".parse().expect("valid"));
        assert_eq!(after(&tail, "e1:8", 9), Some(vec![]), "what was announced is newer");
        tail.extend(&announce("e1", 11..=11));
        assert_eq!(after(&tail, "e1:8", 9), None);
    }
}
