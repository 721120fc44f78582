//! Creating users: ids, names, and what repeating does.

use futures_util::future::join_all;
use scorewire_core::domain::{BoardId, Micros, SCORE_LIMIT, User, UserName};
use scorewire_core::ports::{FailureKind, NewUser, Roster, UserCreation};

use crate::{Fixture, brief, user};

fn id_of(creation: UserCreation) -> i64 {
    match creation {
        UserCreation::Created(user, _) => user.id.get(),
        other => panic!("not created: {other:?}"),
    }
}

fn named(id: i64, name: &str) -> User {
    User { id: user(id), name: UserName::parse(name).expect("a name"), created_at: Micros(7) }
}

#[tokio::test]
async fn a_new_user_stands_on_the_main_board_with_nothing() {
    let fixture = Fixture::new().await;
    let UserCreation::Created(created, standing) = fixture.create(Some(5), "Zoë 李").await else {
        panic!("not created");
    };
    assert_eq!((created, brief(&standing)), (named(5, "Zoë 李"), (5, 0, 1)));
    assert_eq!(fixture.scores(&BoardId::main()).await, [brief(&standing)]);
    assert_eq!(fixture.ledger.find_user(user(5)).await.expect("found"), Some(named(5, "Zoë 李")));
    assert_eq!(fixture.ledger.find_user(user(6)).await.expect("found"), None);
}

#[tokio::test]
async fn creating_a_user_again_changes_nothing() {
    let fixture = Fixture::new().await;
    fixture.create(Some(5), "ann").await;
    assert_eq!(fixture.create(Some(5), "ann").await, UserCreation::Existing(named(5, "ann")));
    assert_eq!(fixture.create(Some(5), "bob").await, UserCreation::NameDiffers(named(5, "ann")));
    assert_eq!(fixture.scores(&BoardId::main()).await, [(5, 0, 1)]);
}

#[tokio::test]
async fn ids_that_were_asked_for_are_skipped() {
    let fixture = Fixture::new().await;
    for id in [1, 2, 4, 5, 6] {
        fixture.create(Some(id), "asked").await;
    }
    for expected in [3, 7, 8] {
        assert_eq!(id_of(fixture.create(None, "any").await), expected);
    }
    fixture.create(Some(9), "asked").await;
    assert_eq!(id_of(fixture.create(None, "any").await), 10);
}

#[tokio::test]
async fn an_id_is_never_given_twice() {
    let fixture = Fixture::new().await;
    assert_eq!(id_of(fixture.create(None, "ann").await), 1);
    fixture.run("UPDATE users SET deleted_at = 9 WHERE id = 1").await;
    assert_eq!(id_of(fixture.create(None, "bob").await), 2);
    // The tombstone answers for its id.
    assert_eq!(fixture.create(Some(1), "ann").await, UserCreation::Existing(named(1, "ann")));
    assert_eq!(fixture.ledger.find_user(user(1)).await.expect("found"), None);
    let users = fixture.ledger.users(None, 10).await.expect("users");
    assert_eq!(users, [named(2, "bob")]);
}

#[tokio::test]
async fn when_the_ids_are_used_up_creating_is_rejected() {
    let fixture = Fixture::new().await;
    fixture.create(Some(SCORE_LIMIT), "last").await;
    fixture.run(&format!("UPDATE next_user_id SET id = {SCORE_LIMIT}")).await;
    let user = NewUser { id: None, name: UserName::parse("late").expect("a name") };
    let refused = fixture.ledger.create_user(&user, Micros(7)).await.expect_err("none is left");
    assert_eq!(refused.kind, FailureKind::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creations_get_ids_of_their_own() {
    let fixture = Fixture::new().await;
    let any = (0..40).map(|_| fixture.create(None, "any"));
    let asked = (10..30).map(|id| fixture.create(Some(id), "any"));
    let (any, asked) = tokio::join!(join_all(any), join_all(asked));
    let mut ids: Vec<i64> = any.into_iter().map(id_of).collect();
    // Who asked for an id that was given meanwhile finds it taken by a user of the same name.
    ids.extend(asked.into_iter().filter_map(|creation| match creation {
        UserCreation::Created(user, _) => Some(user.id.get()),
        UserCreation::Existing(_) => None,
        UserCreation::NameDiffers(user) => panic!("{user:?}"),
    }));
    ids.sort_unstable();
    let standing: Vec<i64> = fixture.scores(&BoardId::main()).await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, standing);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_creations_of_one_id_one_creates() {
    let fixture = Fixture::new().await;
    let creations = join_all((0..20).map(|_| fixture.create(Some(3), "ann"))).await;
    let created = creations.iter().filter(|creation| matches!(creation, UserCreation::Created(..))).count();
    assert_eq!(created, 1);
    assert!(creations.iter().all(|creation| !matches!(creation, UserCreation::NameDiffers(_))));
}

#[tokio::test]
async fn users_are_read_in_pages() {
    let fixture = Fixture::with_users(5).await;
    let ids = |users: Vec<User>| users.into_iter().map(|user| user.id.get()).collect::<Vec<_>>();
    assert_eq!(ids(fixture.ledger.users(None, 3).await.expect("users")), [1, 2, 3]);
    assert_eq!(ids(fixture.ledger.users(Some(user(3)), 3).await.expect("users")), [4, 5]);
}

#[tokio::test]
async fn a_name_with_a_nul_is_rejected() {
    let fixture = Fixture::new().await;
    let user = NewUser { id: None, name: UserName::stored("a\0b".to_owned()) };
    let refused = fixture.ledger.create_user(&user, Micros(7)).await.expect_err("refused");
    assert_eq!(refused.kind, FailureKind::Rejected);
    assert_eq!(id_of(fixture.create(None, "fine").await), 1);
}
