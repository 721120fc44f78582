//! What a ring keeps, replays and forgets; and a comparison with the simplest thing that could be right.

use proptest::prelude::*;

use super::*;
use crate::domain::Event;

/// The place before the oldest message that is kept.
fn oldest(ring: &Ring) -> Position {
    ring.since(i64::MIN).position
}

fn ring(messages: usize, age_us: i64) -> Ring {
    Ring::new(Epoch::parse("e1").expect("valid"), RingLimits { messages, age_us }, Micros(0))
}

fn say(ring: &mut Ring, text: &str, at: i64) -> u64 {
    ring.append(NewMessage { event: Event::Update, data: text.into() }, Micros(at)).offset
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::parse("e1").expect("valid"), offset }
}

fn offsets(replayed: Result<Vec<Arc<Message>>, Lost>) -> Result<Vec<u64>, Lost> {
    replayed.map(|messages| messages.iter().map(|m| m.offset).collect())
}

#[test]
fn offsets_have_no_holes_and_a_replay_is_whole_or_refused() {
    let mut ring = ring(3, i64::MAX);
    for n in 1..=5 {
        assert_eq!(say(&mut ring, "x", n), n as u64);
    }
    assert_eq!(offsets(ring.after(&at(2), 10)), Ok(vec![3, 4, 5]));
    assert_eq!(offsets(ring.after(&at(2), 2)), Ok(vec![3, 4]));
    assert_eq!(offsets(ring.after(&at(5), 10)), Ok(vec![]));
    assert_eq!(offsets(ring.after(&at(1), 10)), Err(Lost::TooOld));
    assert_eq!(offsets(ring.after(&at(6), 10)), Err(Lost::Ahead));
    let elsewhere = Position { epoch: Epoch::parse("e2").expect("valid"), offset: 5 };
    assert_eq!(offsets(ring.after(&elsewhere, 10)), Err(Lost::EpochChanged));
}

#[test]
fn age_evicts_too() {
    let mut ring = ring(100, 10);
    say(&mut ring, "old", 1);
    say(&mut ring, "new", 15);
    assert_eq!(offsets(ring.after(&at(1), 10)), Ok(vec![2]));
    assert_eq!(offsets(ring.after(&at(0), 10)), Err(Lost::TooOld));
    ring.evict(Micros(100));
    assert_eq!(offsets(ring.after(&at(2), 10)), Ok(vec![]));
    assert_eq!(offsets(ring.after(&at(1), 10)), Err(Lost::TooOld));
}

#[test]
fn time_never_runs_backwards_in_a_topic() {
    let mut ring = ring(10, i64::MAX);
    say(&mut ring, "a", 9);
    say(&mut ring, "b", 3);
    let replayed = ring.after(&at(0), 10).expect("kept");
    assert!(replayed.iter().all(|m| m.at == Micros(9)));
}

#[test]
fn since_is_inclusive_and_refuses_a_second_that_may_be_incomplete() {
    let second = 1_000_000;
    let mut ring = ring(2, i64::MAX);
    say(&mut ring, "a", 5 * second);
    say(&mut ring, "b", 6 * second + 1);
    let since = |ring: &Ring, unix_seconds| {
        let Since { position, whole } = ring.since(unix_seconds);
        assert_eq!(position.epoch.as_str(), "e1");
        (position.offset, whole)
    };
    assert_eq!(since(&ring, 6), (1, true));
    assert_eq!(since(&ring, 5), (0, true));
    assert_eq!(since(&ring, 7), (2, true));
    assert_eq!(since(&ring, 0), (0, false), "the ring began within second 0");
    say(&mut ring, "c", 6 * second + 2);
    assert_eq!(since(&ring, 6), (1, true));
    assert_eq!(since(&ring, 5), (1, false));
    assert_eq!(oldest(&ring), at(1));
}

#[test]
fn a_value_is_told_with_the_second_it_is_found_by() {
    let mut ring = ring(10, i64::MAX);
    say(&mut ring, "later", 9_500_000);
    let value = ring.append(NewMessage { event: Event::Value, data: "[1]".into() }, Micros(3_000_000));
    assert_eq!(&*value.data, r#"{"timestamp":9,"data":[1]}"#, "time never runs backwards in a topic");
    assert_eq!(ring.since(9).position, at(0));
}

fn stored(ring: &Ring) -> Stored {
    let messages = ring.after(&oldest(ring), usize::MAX).expect("kept");
    let messages = messages.iter().map(|message| (**message).clone()).collect();
    Stored { messages, top: ring.top, forgotten_until: ring.forgotten_until }
}

#[test]
fn a_restored_ring_goes_on_under_another_epoch() {
    let limits = RingLimits { messages: 2, age_us: i64::MAX };
    let mut before = ring(2, i64::MAX);
    for n in 1..=3 {
        say(&mut before, "x", n * 1_000_000);
    }
    let mut after = Ring::restored(Epoch::parse("e2").expect("valid"), limits, stored(&before));
    let at = |offset| Position { epoch: Epoch::parse("e2").expect("valid"), offset };
    assert_eq!((after.position(), oldest(&after)), (at(3), at(1)));
    assert_eq!(offsets(after.after(&before.position(), 10)), Err(Lost::EpochChanged));
    assert_eq!(offsets(after.after(&at(1), 10)), Ok(vec![2, 3]));
    assert_eq!((after.since(2), after.since(1).whole), (Since { position: at(1), whole: true }, false));
    assert_eq!(say(&mut after, "a clock that was set back", 0), 4);
    assert_eq!(after.after(&at(3), 1).expect("kept")[0].at, Micros(3_000_000));
}

#[test]
fn what_was_stored_with_a_hole_is_kept_from_the_hole_on() {
    let limits = RingLimits { messages: 9, age_us: i64::MAX };
    let message = |offset: u64| Message {
        offset,
        at: Micros(i64::try_from(offset).expect("small") * 1_000_000),
        event: Event::Value,
        data: "{}".into(),
    };
    let restored = |offsets: &[u64], top| {
        let messages = offsets.iter().copied().map(message).collect();
        let stored = Stored { messages, top, forgotten_until: Micros(0) };
        let ring = Ring::restored(Epoch::parse("e1").expect("valid"), limits, stored);
        (oldest(&ring).offset, ring.position().offset, ring.since(2).whole)
    };
    assert_eq!(restored(&[1, 2, 4, 5], 5), (3, 5, false));
    assert_eq!(restored(&[1, 2], 5), (5, 5, false), "the newest are missing");
    assert_eq!(restored(&[], 5), (5, 5, true));
    assert_eq!(restored(&[1, 2], 2), (0, 2, true));
    assert_eq!(restored(&[1], 0), (0, 0, true), "more than there ever were");
}

/// Keeps everything and looks it all through at each question.
struct Model {
    limits: RingLimits,
    /// Offset and time of every message ever, and of those that are kept.
    all: Vec<(u64, i64)>,
    kept: Vec<(u64, i64)>,
    began: i64,
    now: i64,
}

impl Model {
    fn evict(&mut self, now: i64) {
        let top = self.all.len() as u64;
        let (most, age) = (self.limits.messages as u64, self.limits.age_us);
        self.kept.retain(|(offset, at)| offset + most > top && now - at <= age);
    }

    fn forgotten(&self) -> i64 {
        let kept = |offset| self.kept.iter().any(|(kept, _)| *kept == offset);
        self.all.iter().filter(|(offset, _)| !kept(*offset)).map(|(_, at)| *at).fold(self.began, i64::max)
    }

    fn after(&self, offset: u64, limit: usize) -> Result<Vec<u64>, Lost> {
        let behind = (self.all.len() as u64).checked_sub(offset).ok_or(Lost::Ahead)?;
        let newer: Vec<u64> = self.kept.iter().map(|(kept, _)| *kept).filter(|kept| *kept > offset).collect();
        if newer.len() as u64 == behind { Ok(newer.into_iter().take(limit).collect()) } else { Err(Lost::TooOld) }
    }

    fn since(&self, unix_seconds: i64) -> (u64, bool) {
        let first = self.kept.iter().find(|(_, at)| at.div_euclid(1_000_000) >= unix_seconds);
        let place = first.map_or(self.all.len() as u64, |(offset, _)| offset - 1);
        (place, unix_seconds > self.forgotten().div_euclid(1_000_000))
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Time passes, or the clock is set back, by so many µs.
    Pass(i64),
    Append(u8),
    Evict,
    Restore,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (-400_000_i64..1_500_000).prop_map(Act::Pass),
        (1_u8..6).prop_map(Act::Append),
        Just(Act::Evict),
        Just(Act::Restore),
    ];
    proptest::collection::vec(act, 0..60)
}

proptest! {
    #[test]
    fn a_ring_is_what_a_list_of_everything_would_be(
        messages in 1_usize..8,
        age_us in prop_oneof![0_i64..6_000_000, Just(i64::MAX)],
        began in 0_i64..3_000_000,
        acts in acts(),
    ) {
        let limits = RingLimits { messages, age_us };
        let epoch = || Epoch::parse("e1").expect("valid");
        let mut ring = Ring::new(epoch(), limits, Micros(began));
        let mut model = Model { limits, all: vec![], kept: vec![], began, now: began };
        let mut clock = began;
        for act in acts {
            match act {
                Act::Pass(us) => clock += us,
                Act::Append(count) => for _ in 0..count {
                    model.now = model.now.max(clock);
                    let offset = model.all.len() as u64 + 1;
                    model.all.push((offset, model.now));
                    model.kept.push((offset, model.now));
                    model.evict(model.now);
                    prop_assert_eq!(say(&mut ring, "x", clock), offset);
                },
                Act::Evict => {
                    model.evict(clock);
                    ring.evict(Micros(clock));
                }
                Act::Restore => {
                    let stored = stored(&ring);
                    ring = Ring::restored(epoch(), limits, stored);
                }
            }
            let top = model.all.len() as u64;
            let first = model.kept.first().map_or(top, |(offset, _)| offset - 1);
            prop_assert_eq!((ring.position(), oldest(&ring)), (at(top), at(first)));
            for offset in 0..=top + 1 {
                for limit in [0, 2, usize::MAX] {
                    prop_assert_eq!(offsets(ring.after(&at(offset), limit)), model.after(offset, limit));
                }
            }
            for second in -2..=clock.max(model.now).div_euclid(1_000_000) + 2 {
                let Since { position, whole } = ring.since(second);
                prop_assert_eq!((position.offset, whole), model.since(second), "second {}", second);
            }
        }
    }
}
