//! What the topics' port promises.

use std::sync::Arc;

use scorewire_core::domain::{Event, Lost, NewMessage, Position, RingLimits, Since};

use crate::adapters::{Kind, PLENTY, at, eventually, for_both, hear, note, offsets, said};

for_both! {
    offsets_have_no_holes_and_announcements_are_whole_under_eight_appenders,
    a_replay_is_whole_or_refused,
    since_is_inclusive_and_says_whether_a_second_may_be_incomplete,
    what_is_too_many_is_forgotten,
    what_is_too_old_is_forgotten,
    data_arrives_as_it_was_given,
    nothing_appended_is_nothing_announced,
}

async fn offsets_have_no_holes_and_announcements_are_whole_under_eight_appenders(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let mut heard = adapters.topics.announcements();
    let appenders: Vec<_> = (0..8)
        .map(|appender| {
            let (topics, topic) = (Arc::clone(&adapters.topics), adapters.topic.clone());
            tokio::spawn(async move {
                for n in 0..40 {
                    let batch = (0..=n % 3).map(|i| note(&format!("[{appender},{n},{i}]"))).collect();
                    topics.append(&topic, batch).await.expect("appended");
                }
            })
        })
        .collect();
    let total: u64 = 8 * (0..40).map(|n| n % 3 + 1).sum::<u64>();
    let announced = hear(&mut heard, total).await;
    for appender in appenders {
        appender.await.expect("ended");
    }
    let log = adapters.log().await;
    assert_eq!(offsets(&log), (1..=total).collect::<Vec<_>>());
    assert_eq!(announced, log, "announced in the log's order, all of it, and the same");
    assert!(log.is_sorted_by_key(|message| message.at));
    for appender in 0..8 {
        let own: Vec<_> = said(&log).into_iter().filter(|(_, d)| d.starts_with(&format!("[{appender},"))).collect();
        let expected: Vec<_> =
            (0..40).flat_map(|n| (0..=n % 3).map(move |i| format!("[{appender},{n},{i}]"))).collect();
        assert_eq!(own.into_iter().map(|(_, data)| data).collect::<Vec<_>>(), expected);
    }
}

async fn a_replay_is_whole_or_refused(kind: Kind) {
    let adapters = kind.open(RingLimits { messages: 5, ..PLENTY }).await;
    let (topics, topic) = (&adapters.topics, &adapters.topic);
    let end = topics.append(topic, (1..=8).map(|n| note(&format!("{n}"))).collect()).await.expect("appended");
    assert_eq!(end.offset, 8);
    assert_eq!(topics.position(topic).await.expect("available"), end);
    let after = async |position: Position, limit| {
        topics.after(topic, &position, limit).await.expect("available").map(|messages| offsets(&messages))
    };
    assert_eq!(after(at(&end, 3), 10).await, Ok(vec![4, 5, 6, 7, 8]));
    assert_eq!(after(at(&end, 5), 2).await, Ok(vec![6, 7]));
    assert_eq!(after(at(&end, 5), 0).await, Ok(vec![]));
    assert_eq!(after(at(&end, 8), 10).await, Ok(vec![]));
    assert_eq!(after(at(&end, 2), 10).await, Err(Lost::TooOld));
    assert_eq!(after(at(&end, 9), 10).await, Err(Lost::Ahead));
    assert_eq!(after(at(&end, u64::MAX), 10).await, Err(Lost::Ahead));
    let other: Position = "another:8".parse().expect("valid");
    assert_eq!(after(other, 10).await, Err(Lost::EpochChanged));
}

async fn since_is_inclusive_and_says_whether_a_second_may_be_incomplete(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let (topics, topic) = (&adapters.topics, &adapters.topic);
    let begun = topics.position(topic).await.expect("available");
    // Until there are messages in two seconds after the one in which the topic began.
    eventually("two seconds", async || {
        topics.append(topic, vec![note("tick")]).await.expect("appended");
        let log = adapters.log().await;
        let (first, last) = (log.first()?.at.unix_seconds(), log.last()?.at.unix_seconds());
        (last - first >= 2).then_some(())
    })
    .await;
    let log = adapters.log().await;
    let second = log[log.len() - 1].at.unix_seconds() - 1;
    let since = async |second| {
        let Since { position, whole } = topics.since(topic, second).await.expect("available");
        (position.offset, whole)
    };
    let before = |second| log.iter().take_while(|m| m.at.unix_seconds() < second).count() as u64;
    assert_eq!(since(second).await, (before(second), true));
    assert_eq!(since(second + 1).await, (before(second + 1), true));
    assert_eq!(since(second + 9).await, (log.len() as u64, true), "nothing is that new");
    assert_eq!(since(i64::MAX).await, (log.len() as u64, true));
    assert_eq!(since(log[0].at.unix_seconds() - 1).await, (0, false), "the topic began in it or later");
    assert_eq!(since(i64::MIN).await, (0, false));
    let place = topics.since(topic, second).await.expect("available").position;
    assert_eq!(place.epoch, begun.epoch);
    let replayed = topics.after(topic, &place, 1).await.expect("available").expect("kept");
    assert_eq!(replayed[0].at.unix_seconds(), second, "the first message of that very second");
}

async fn what_is_too_many_is_forgotten(kind: Kind) {
    let adapters = kind.open(RingLimits { messages: 100, ..PLENTY }).await;
    let (topics, topic) = (&adapters.topics, &adapters.topic);
    let mut forgotten = None;
    for n in 0..70 {
        let mut heard = topics.announcements();
        let end = topics.append(topic, (0..5).map(|i| note(&format!("{n}.{i}"))).collect()).await.expect("appended");
        let messages = hear(&mut heard, end.offset).await;
        let kept = topics.after(topic, &at(&end, end.offset.saturating_sub(100)), 1_000).await.expect("available");
        assert_eq!(kept.expect("kept").len() as u64, end.offset.min(100));
        if end.offset > 100 {
            let older = at(&end, end.offset - 101);
            assert_eq!(topics.after(topic, &older, 1_000).await.expect("available"), Err(Lost::TooOld));
        }
        if n == 49 {
            forgotten = messages.last().map(|newest| newest.at.unix_seconds());
        }
    }
    // Message 250 is the newest that is gone.
    let second = forgotten.expect("appended");
    let partly = topics.since(topic, second).await.expect("available");
    assert!(!partly.whole && partly.position.offset >= 250, "{partly:?}");
    assert!(topics.since(topic, second + 1).await.expect("available").whole);
}

async fn what_is_too_old_is_forgotten(kind: Kind) {
    let adapters = kind.open(RingLimits { age_us: 50_000, ..PLENTY }).await;
    let (topics, topic) = (&adapters.topics, &adapters.topic);
    let old = topics.append(topic, (0..200).map(|n| note(&format!("{n}"))).collect()).await.expect("appended");
    eventually("the messages are forgotten", async || {
        (topics.after(topic, &at(&old, 199), 10).await.expect("available") == Err(Lost::TooOld)).then_some(())
    })
    .await;
    assert_eq!(topics.position(topic).await.expect("available"), old, "the place stays");
    assert_eq!(topics.after(topic, &old, 10).await.expect("available"), Ok(vec![]));
    let new = topics.append(topic, vec![note("new")]).await.expect("appended");
    assert_eq!(new, at(&old, 201));
}

async fn data_arrives_as_it_was_given(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let mut heard = adapters.topics.announcements();
    let texts = ["", " ", "{}", r#"{"user":"\"\\ \u0000 Zoë 👩‍🚀"}"#, "\t\r tab", "a b  c "];
    let messages = texts
        .iter()
        .flat_map(|text| [Event::Update, Event::Top].map(|event| NewMessage { event, data: (*text).into() }));
    adapters.topics.append(&adapters.topic, messages.collect()).await.expect("appended");
    let expected: Vec<_> =
        texts.iter().flat_map(|text| ["update", "top"].map(|event| (event, (*text).to_owned()))).collect();
    let announced = hear(&mut heard, expected.len() as u64).await;
    assert_eq!(said(&announced), expected);
    assert_eq!(adapters.log().await, announced);
}

async fn nothing_appended_is_nothing_announced(kind: Kind) {
    let adapters = kind.open(PLENTY).await;
    let mut heard = adapters.topics.announcements();
    let begun = adapters.topics.position(&adapters.topic).await.expect("available");
    assert_eq!(begun.offset, 0);
    assert_eq!(adapters.topics.append(&adapters.topic, vec![]).await.expect("appended"), begun);
    adapters.topics.append(&adapters.topic, vec![note("1")]).await.expect("appended");
    assert_eq!(offsets(&hear(&mut heard, 1).await), [1]);
}
