//! What every topic holds: offsets without holes, replays whole or refused, time that only moves forward.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use scorewire_core::domain::{
    BoardId, Epoch, Event, FeedName, Keeping, Lost, Message, NewMessage, Position, RingLimits, Since, TopicName,
};
use scorewire_core::ports::Topics;

use super::{at_once, suite};
use crate::support::{eventually, within};

/// The newest messages every adapter is set up to keep.
pub(super) const KEPT_MESSAGES: usize = 1_000;
/// The newest messages of the topic `feed:few`.
pub(super) const KEPT_OF_FEW: usize = 3;

/// How every adapter is set up.
pub(super) fn keeping() -> Arc<Keeping> {
    let limits = |messages| RingLimits { messages, age_us: 3_600_000_000 };
    Arc::new(Keeping::alike(limits(KEPT_MESSAGES)).with(few(), limits(KEPT_OF_FEW)))
}

fn few() -> TopicName {
    TopicName::of_feed(&FeedName::parse("few").expect("a name"))
}

suite! {
    adapters {
        memory: crate::contracts::adapters::memory_topics,
        redis: crate::contracts::adapters::redis_topics,
    }
    rules {
        offsets_begin_at_one_and_have_no_holes,
        offsets_have_no_holes_under_concurrent_appenders,
        appending_nothing_changes_nothing,
        a_replay_is_limited_and_goes_on_where_it_stopped,
        a_replay_is_whole_or_refused,
        a_place_of_another_life_or_of_the_future_is_refused,
        topics_do_not_mix,
        announcements_say_what_the_topic_holds_in_its_order,
        since_begins_with_the_first_message_of_its_second,
        time_never_runs_backwards,
        each_topic_is_kept_within_its_own_limits,
        a_value_is_told_with_the_second_of_its_topic,
        random_use_is_answered_as_a_list_of_everything_would_answer_it,
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::of_board(&BoardId::new(name))
}

fn message(text: &str) -> NewMessage {
    NewMessage { event: Event::Update, data: format!("\"{text}\"").into() }
}

async fn append(topics: &dyn Topics, topic: &TopicName, texts: &[&str]) -> Position {
    topics.append(topic, texts.iter().map(|text| message(text)).collect()).await.expect("appended")
}

async fn after(
    topics: &dyn Topics,
    topic: &TopicName,
    place: &Position,
    limit: usize,
) -> Result<Vec<Arc<Message>>, Lost> {
    topics.after(topic, place, limit).await.expect("readable")
}

fn at(place: &Position, offset: u64) -> Position {
    Position { epoch: place.epoch.clone(), offset }
}

fn offsets(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.offset).collect()
}

async fn offsets_begin_at_one_and_have_no_holes(topics: &dyn Topics) {
    let topic = topic("a");
    let begin = topics.position(&topic).await.expect("a place");
    assert_eq!(begin.offset, 0);
    assert_eq!(append(topics, &topic, &["1"]).await, at(&begin, 1));
    assert_eq!(append(topics, &topic, &["2", "3", "4"]).await, at(&begin, 4));
    assert_eq!(topics.position(&topic).await.expect("a place"), at(&begin, 4));
    let all = after(topics, &topic, &begin, 100).await.expect("kept");
    assert_eq!(offsets(&all), [1, 2, 3, 4]);
    assert_eq!(all.iter().map(|message| &*message.data).collect::<Vec<_>>(), ["\"1\"", "\"2\"", "\"3\"", "\"4\""]);
    assert!(all.iter().all(|message| message.event == Event::Update));
}

async fn offsets_have_no_holes_under_concurrent_appenders(topics: &dyn Topics) {
    let topic = topic("a");
    let begin = topics.position(&topic).await.expect("a place");
    let places = at_once(8, |thread| {
        let topic = topic.clone();
        async move {
            let mut places = Vec::new();
            for n in 0..20 {
                let text = format!("{thread}.{n}");
                places.push((text.clone(), append(topics, &topic, &[&text, &text]).await));
            }
            places
        }
    });
    let all = after(topics, &topic, &begin, KEPT_MESSAGES).await.expect("kept");
    assert_eq!(offsets(&all), (1..=320).collect::<Vec<_>>());
    // What was appended together stands together, at the place its appender was told.
    for (text, place) in places.into_iter().flatten() {
        let last = usize::try_from(place.offset).expect("small");
        assert!(all[last - 2..last].iter().all(|message| *message.data == *format!("\"{text}\"")), "{text} at {place}");
    }
}

async fn appending_nothing_changes_nothing(topics: &dyn Topics) {
    let topic = topic("a");
    let place = append(topics, &topic, &["1"]).await;
    let mut announcements = topics.announcements();
    assert_eq!(append(topics, &topic, &[]).await, place);
    append(topics, &topic, &["2"]).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&2) {
        let announced = within("an announcement", announcements.recv()).await.expect("open");
        // What was announced just before listening may still be on its way.
        heard.extend(offsets(&announced.messages).into_iter().filter(|offset| *offset > place.offset));
    }
    assert_eq!(heard, [2], "nothing was announced for nothing");
}

async fn a_replay_is_limited_and_goes_on_where_it_stopped(topics: &dyn Topics) {
    let topic = topic("a");
    let end = append(topics, &topic, &["1", "2", "3", "4", "5"]).await;
    let replay = async |offset, limit| offsets(&after(topics, &topic, &at(&end, offset), limit).await.expect("kept"));
    assert_eq!(replay(0, 2).await, [1, 2]);
    assert_eq!(replay(2, 2).await, [3, 4]);
    assert_eq!(replay(4, 2).await, [5]);
    assert_eq!(replay(5, 2).await, [0; 0]);
}

async fn a_replay_is_whole_or_refused(topics: &dyn Topics) {
    let topic = topic("a");
    let begin = topics.position(&topic).await.expect("a place");
    let end = (KEPT_MESSAGES * 3) as u64;
    for batch in 0..30 {
        let texts = vec![format!("{batch}"); KEPT_MESSAGES / 10];
        append(topics, &topic, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert_eq!(after(topics, &topic, &begin, 10).await, Err(Lost::TooOld), "long gone");
    let mut refused = 0;
    for offset in (0..=end).step_by(50) {
        match after(topics, &topic, &at(&begin, offset), usize::MAX >> 1).await {
            Ok(messages) => assert_eq!(offsets(&messages), (offset + 1..=end).collect::<Vec<_>>()),
            Err(lost) => {
                assert_eq!(lost, Lost::TooOld);
                assert!(offset < end - KEPT_MESSAGES as u64, "{offset} is promised to be kept");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "memory is bounded");
}

async fn a_place_of_another_life_or_of_the_future_is_refused(topics: &dyn Topics) {
    let topic = topic("a");
    let end = append(topics, &topic, &["1", "2"]).await;
    let elsewhere = Position { epoch: Epoch::parse("anotherlife").expect("an epoch"), offset: 1 };
    assert_eq!(after(topics, &topic, &elsewhere, 10).await, Err(Lost::EpochChanged));
    for ahead in [3, u64::MAX] {
        assert_eq!(after(topics, &topic, &at(&end, ahead), 10).await, Err(Lost::Ahead));
    }
    assert_eq!(after(topics, &topic, &end, 10).await, Ok(vec![]));
}

async fn topics_do_not_mix(topics: &dyn Topics) {
    let (a, b) = (topic("a"), topic("b"));
    let (in_a, in_b) = (append(topics, &a, &["1", "2"]).await, append(topics, &b, &["other"]).await);
    assert_eq!((in_a.offset, in_b.offset), (2, 1));
    assert_ne!(in_a.epoch, in_b.epoch, "a place in one is none in the other");
    let of_b = after(topics, &b, &at(&in_b, 0), 10).await.expect("kept");
    assert_eq!(of_b.iter().map(|message| &*message.data).collect::<Vec<_>>(), ["\"other\""]);
}

async fn announcements_say_what_the_topic_holds_in_its_order(topics: &dyn Topics) {
    let topic = topic("a");
    let begin = append(topics, &topic, &["before anybody listens"]).await;
    let mut announcements = topics.announcements();
    at_once(4, |thread| {
        let topic = topic.clone();
        async move {
            for n in 0..25 {
                append(topics, &topic, &[&format!("{thread}.{n}"), "together"]).await;
            }
        }
    });
    let mut heard = Vec::new();
    while heard.len() < 200 {
        let announced = within("an announcement", announcements.recv()).await.expect("none was missed");
        assert_eq!((&announced.topic, &announced.epoch), (&topic, &begin.epoch));
        // What was announced just before listening may still be on its way; none at all means: look again.
        heard.extend(announced.messages.iter().filter(|message| message.offset > begin.offset).cloned());
    }
    assert_eq!(heard, after(topics, &topic, &begin, 1_000).await.expect("kept"));
    assert_eq!(offsets(&heard), (2..=201).collect::<Vec<_>>());
}

/// Appends until the topic's messages reach into the third second after its beginning.
async fn over_three_seconds(topics: &dyn Topics, topic: &TopicName) -> (Position, Vec<Arc<Message>>) {
    let begin = topics.position(topic).await.expect("a place");
    let all = eventually("three seconds of messages", || async {
        append(topics, topic, &["tick"]).await;
        let all = after(topics, topic, &begin, KEPT_MESSAGES).await.expect("kept");
        let second = |message: &Arc<Message>| message.at.unix_seconds();
        (all.last().map(second) > all.first().map(|first| second(first) + 2)).then_some(all)
    })
    .await;
    (begin, all)
}

async fn since_begins_with_the_first_message_of_its_second(topics: &dyn Topics) {
    let topic = topic("a");
    let (begin, all) = over_three_seconds(topics, &topic).await;
    let since = async |second| topics.since(&topic, second).await.expect("readable");
    let (first, last) = (all[0].at.unix_seconds(), all[all.len() - 1].at.unix_seconds());
    for second in first + 1..=last {
        let begins = all.iter().find(|message| message.at.unix_seconds() >= second).expect("a message");
        assert_eq!(
            since(second).await,
            Since { position: at(&begin, begins.offset - 1), whole: true },
            "second {second} of {first} to {last}"
        );
    }
    assert_eq!(
        since(last + 1_000).await,
        Since { position: at(&begin, all.len() as u64), whole: true },
        "nothing is that new"
    );
    for before_its_life in [first - 2, 0, -1, i64::MIN] {
        let all_there_is = Since { position: begin.clone(), whole: false };
        assert_eq!(since(before_its_life).await, all_there_is, "it may have missed some");
    }
    assert!(since(i64::MAX).await.whole);
}

async fn time_never_runs_backwards(topics: &dyn Topics) {
    let topic = topic("a");
    let begin = topics.position(&topic).await.expect("a place");
    for _ in 0..200 {
        append(topics, &topic, &["tick", "tock"]).await;
    }
    let all = after(topics, &topic, &begin, 400).await.expect("kept");
    assert!(all.is_sorted_by_key(|message| message.at), "a clock that is set back does not matter");
}

async fn each_topic_is_kept_within_its_own_limits(topics: &dyn Topics) {
    let (few, other) = (few(), topic("a"));
    for topic in [&few, &other] {
        assert_eq!(append(topics, topic, &["1", "2", "3", "4", "5"]).await.offset, 5);
    }
    let place = topics.position(&few).await.expect("a place");
    assert_eq!(after(topics, &few, &at(&place, 2), 9).await.map(|kept| offsets(&kept)), Ok(vec![3, 4, 5]));
    assert_eq!(after(topics, &few, &at(&place, 1), 9).await, Err(Lost::TooOld));
    let since = topics.since(&few, 0).await.expect("readable");
    assert_eq!(since, Since { position: at(&place, 2), whole: false }, "all there is, and more was");
    let place = topics.position(&other).await.expect("a place");
    assert_eq!(after(topics, &other, &at(&place, 0), 9).await.map(|kept| kept.len()), Ok(5));
}

async fn a_value_is_told_with_the_second_of_its_topic(topics: &dyn Topics) {
    let topic = few();
    let mut heard = topics.announcements();
    let value = r#"{"text":"\"quotes\" \\ and Zoë","price":73838.870}"#;
    let messages = [Event::Value, Event::Top].map(|event| NewMessage { event, data: value.into() });
    let end = topics.append(&topic, messages.into()).await.expect("appended");
    let kept = after(topics, &topic, &at(&end, 0), 9).await.expect("kept");
    let timestamp = kept[0].at.unix_seconds();
    assert_eq!(&*kept[0].data, format!(r#"{{"timestamp":{timestamp},"data":{value}}}"#));
    assert_eq!((&kept[0].event, &*kept[1].data), (&Event::Value, value), "all other data stays as it was given");
    let announced = within("an announcement", heard.recv()).await.expect("announced");
    assert_eq!(announced.messages.to_vec(), kept);
    assert_eq!(topics.since(&topic, timestamp).await.expect("readable").position, at(&end, 0));
}

/// A topic as a test remembers it: everything, and how much the adapter should.
struct Remembered {
    topic: TopicName,
    kept: usize,
    all: Vec<Arc<Message>>,
}

impl Remembered {
    fn forgotten(&self) -> usize {
        self.all.len().saturating_sub(self.kept)
    }

    fn after(&self, offset: usize, limit: usize) -> Result<Vec<Arc<Message>>, Lost> {
        if offset > self.all.len() {
            Err(Lost::Ahead)
        } else if offset < self.forgotten() {
            Err(Lost::TooOld)
        } else {
            Ok(self.all.iter().skip(offset).take(limit).cloned().collect())
        }
    }

    /// The offset, and whether everything is kept: of a topic that has forgotten nothing its beginning is not known here.
    fn since(&self, second: i64) -> (u64, Option<bool>) {
        let earlier = self.all.iter().filter(|message| message.at.unix_seconds() < second).count();
        let forgotten = self.forgotten().checked_sub(1).and_then(|newest| self.all.get(newest));
        (earlier.max(self.forgotten()) as u64, forgotten.map(|message| second > message.at.unix_seconds()))
    }
}

async fn random_use_is_answered_as_a_list_of_everything_would_answer_it(topics: &dyn Topics) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut remembered = [(few(), KEPT_OF_FEW), (topic("a"), KEPT_MESSAGES), (topic("b"), KEPT_MESSAGES)]
        .map(|(topic, kept)| Remembered { topic, kept, all: vec![] });
    for step in 0..600 {
        let of = &mut remembered[random.random_range(0..3)];
        let place = topics.position(&of.topic).await.expect("a place");
        assert_eq!(place.offset, of.all.len() as u64, "step {step}");
        match random.random_range(0..3) {
            0 => {
                let count = random.random_range(0..30);
                let new = (0..count).map(|n| message(&format!("{step}.{n}"))).collect();
                let end = topics.append(&of.topic, new).await.expect("appended");
                assert_eq!(end, at(&place, place.offset + count), "step {step}");
                // What a limit of few forgot at once was never to be read, so that only its count is known.
                let newest = (of.kept as u64).min(count);
                let read = after(topics, &of.topic, &at(&end, end.offset - newest), 99).await.expect("kept");
                let lost = (place.offset + 1..).take(usize::try_from(count - newest).expect("few"));
                let lost = lost.map(|offset| Arc::new(Message { offset, ..(*read[0]).clone() }));
                of.all.extend(lost.chain(read.iter().cloned()).collect::<Vec<_>>());
                assert!(of.all.is_sorted_by_key(|message| (message.offset, message.at)), "step {step}");
            }
            1 => {
                let offset = random.random_range(0..=of.all.len() + 1);
                let limit = random.random_range(0..of.all.len() + 2);
                let read = after(topics, &of.topic, &at(&place, offset as u64), limit).await;
                assert_eq!(read, of.after(offset, limit), "step {step}: {limit} after {offset} of {}", of.topic);
            }
            _ => {
                let about = of.all.last().map_or(0, |newest| newest.at.unix_seconds());
                let second = about + random.random_range(-3..3);
                let Since { position, whole } = topics.since(&of.topic, second).await.expect("readable");
                let (offset, known) = of.since(second);
                assert_eq!(position, at(&place, offset), "step {step}: since {second} of {}", of.topic);
                assert!(known.is_none_or(|known| known == whole), "step {step}: since {second} of {}", of.topic);
            }
        }
    }
}
