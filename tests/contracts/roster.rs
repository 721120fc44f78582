//! What every roster holds: ids are given once, creating is idempotent, names come back as they went in.

use std::collections::HashSet;

use scorewire_core::domain::{BoardId, Micros, SCORE_LIMIT, Standing, User, UserName};
use scorewire_core::ports::{NewUser, UserCreation};

use super::ledger::Books;
use super::{at_once, suite, user};

suite! {
    adapters {
        sqlite: crate::contracts::adapters::sqlite_ledger,
        postgres: crate::contracts::adapters::postgres_ledger,
    }
    rules {
        a_new_user_comes_with_its_standing,
        creating_is_idempotent_by_id,
        an_id_is_never_given_twice,
        ids_that_were_asked_for_are_skipped,
        at_once_every_id_is_given_once,
        of_many_at_once_with_one_id_one_is_created,
        names_read_back_as_they_were_written,
        users_are_read_in_pages_by_id,
    }
}

const NOW: Micros = Micros(1_700_000_000_123_456);

fn new(id: Option<i64>, name: &str) -> NewUser {
    NewUser { id: id.map(user), name: UserName::parse(name).expect("a name") }
}

async fn create(books: &dyn Books, id: Option<i64>, name: &str) -> UserCreation {
    books.create_user(&new(id, name), NOW).await.expect("an answer")
}

async fn given(books: &dyn Books) -> i64 {
    match create(books, None, "anybody").await {
        UserCreation::Created(user, _) => user.id.get(),
        other => panic!("a user without an id is new: {other:?}"),
    }
}

async fn a_new_user_comes_with_its_standing(books: &dyn Books) {
    let created = create(books, Some(7), "Grace").await;
    let grace = User { id: user(7), name: UserName::parse("Grace").expect("a name"), created_at: NOW };
    let standing = Standing { board: BoardId::main(), user: user(7), score: 0, version: 1, reached_at: NOW };
    assert_eq!(created, UserCreation::Created(grace.clone(), standing.clone()));
    assert_eq!(books.find_user(user(7)).await.expect("readable"), Some(grace));
    assert_eq!(books.standings(&BoardId::main(), None, 10).await.expect("standings")[0].standing, standing);
    assert_eq!(books.find_user(user(8)).await.expect("readable"), None);
}

async fn creating_is_idempotent_by_id(books: &dyn Books) {
    let UserCreation::Created(first, _) = create(books, Some(7), "Grace").await else { panic!("new") };
    let later = Micros(NOW.0 + 1);
    let again = books.create_user(&new(Some(7), "Grace"), later).await.expect("an answer");
    assert_eq!(again, UserCreation::Existing(first.clone()));
    for name in ["Ada", "grace", "Grace  H"] {
        assert_eq!(create(books, Some(7), name).await, UserCreation::NameDiffers(first.clone()));
    }
    assert_eq!(books.find_user(user(7)).await.expect("readable"), Some(first));
    assert_eq!(books.standings(&BoardId::main(), None, 10).await.expect("standings").len(), 1);
}

async fn an_id_is_never_given_twice(books: &dyn Books) {
    let mut seen = HashSet::new();
    for _ in 0..50 {
        assert!(seen.insert(given(books).await));
    }
}

async fn ids_that_were_asked_for_are_skipped(books: &dyn Books) {
    for id in [2, 3, 5, SCORE_LIMIT] {
        create(books, Some(id), "early").await;
    }
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(given(books).await);
    }
    assert_eq!(ids, [1, 4, 6, 7]);
    assert!(matches!(create(books, Some(4), "anybody").await, UserCreation::Existing(_)));
    assert!(matches!(create(books, Some(5), "late").await, UserCreation::NameDiffers(_)));
}

async fn at_once_every_id_is_given_once(books: &dyn Books) {
    let ids = at_once(8, |_| async move {
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(given(books).await);
        }
        ids
    });
    assert_eq!(ids.into_iter().flatten().collect::<HashSet<_>>().len(), 80);
    assert_eq!(books.standings(&BoardId::main(), None, 100).await.expect("standings").len(), 80);
}

async fn of_many_at_once_with_one_id_one_is_created(books: &dyn Books) {
    let created =
        at_once(12, |n| async move { create(books, Some(9), if n % 2 == 0 { "Ada" } else { "Grace" }).await });
    let count = |is: fn(&UserCreation) -> bool| created.iter().filter(|creation| is(creation)).count();
    assert_eq!(count(|c| matches!(c, UserCreation::Created(..))), 1);
    assert_eq!(count(|c| matches!(c, UserCreation::Existing(_))), 5);
    assert_eq!(count(|c| matches!(c, UserCreation::NameDiffers(_))), 6);
}

async fn names_read_back_as_they_were_written(books: &dyn Books) {
    let longest = "é".repeat(100);
    for (id, name) in (1..).zip(["李小龍", "Zoë 🦀", "O'Brien\"; --", "a\\b", "%_", "null", "0", &longest]) {
        create(books, Some(id), name).await;
        let found = books.find_user(user(id)).await.expect("readable").expect("created");
        assert_eq!(found.name.as_str(), name);
        assert!(matches!(create(books, Some(id), name).await, UserCreation::Existing(_)), "{name}");
    }
}

async fn users_are_read_in_pages_by_id(books: &dyn Books) {
    assert_eq!(books.users(None, 10).await.expect("users"), []);
    for id in [5, 1, 3] {
        create(books, Some(id), "n").await;
    }
    let page = async |after: Option<i64>, limit| {
        let users = books.users(after.map(user), limit).await.expect("users");
        users.iter().map(|user| user.id.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [1, 3]);
    assert_eq!(page(Some(3), 2).await, [5]);
    assert_eq!(page(Some(2), 1).await, [3]);
    assert_eq!(page(Some(5), 2).await, [0; 0]);
}
