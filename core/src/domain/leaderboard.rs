//! The order of a board: a sorted list in blocks, so that a rank is found without walking a million rows.
//!
//! Highest score first; ties go to who reached the score earlier, then to the lower user id. Ranks are
//! competition ranks ("1224"): equal scores share a rank and the next rank is skipped.

use std::collections::HashMap;

use super::{Micros, NamedStanding, UserId, UserName};

/// Blocks split when they grow past this; 512 keys of 24 bytes move within a few cache lines' time.
const BLOCK: usize = 512;

/// What a board knows of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name shown.
    pub name: UserName,
    /// The absolute score.
    pub score: i64,
    /// The ledger's version of this standing: only a newer one replaces it.
    pub version: i64,
    /// When the score was reached.
    pub reached_at: Micros,
}

/// A row of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked<'a> {
    /// Competition rank, from 1.
    pub rank: u64,
    /// The user.
    pub user: UserId,
    /// What the board knows of the user.
    pub entry: &'a Entry,
}

/// What taking a standing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsert {
    /// The board already holds this version or a newer one: nothing changed.
    Stale,
    /// The user is new on the board.
    Inserted,
    /// The user's score is now another by this much.
    Changed {
        /// New score − old score.
        difference: i128,
    },
}

/// Orders rows: first comes the higher score, then the earlier time, then the lower id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    descending_score: std::cmp::Reverse<i64>,
    reached_at: Micros,
    user: UserId,
}

impl Key {
    const fn of(user: UserId, entry: &Entry) -> Self {
        Self { descending_score: std::cmp::Reverse(entry.score), reached_at: entry.reached_at, user }
    }
}

/// A board in order.
#[derive(Debug, Default)]
pub struct Leaderboard {
    entries: HashMap<UserId, Entry>,
    /// Non-empty sorted blocks, in order.
    blocks: Vec<Vec<Key>>,
}

impl Leaderboard {
    /// How many users stand on the board.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody stands on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the board knows of a user.
    #[must_use]
    pub fn get(&self, user: UserId) -> Option<&Entry> {
        self.entries.get(&user)
    }

    /// Takes a standing if its version is newer than the one held.
    pub fn upsert(&mut self, named: &NamedStanding) -> Upsert {
        let standing = &named.standing;
        let entry = Entry {
            name: named.name.clone(),
            score: standing.score,
            version: standing.version,
            reached_at: standing.reached_at,
        };
        let new = Key::of(standing.user, &entry);
        let result = match self.entries.get(&standing.user) {
            Some(held) if held.version >= standing.version => return Upsert::Stale,
            Some(held) => {
                let old = Key::of(standing.user, held);
                let difference = i128::from(entry.score) - i128::from(held.score);
                self.remove_key(old);
                Upsert::Changed { difference }
            }
            None => Upsert::Inserted,
        };
        self.insert_key(new);
        self.entries.insert(standing.user, entry);
        result
    }

    /// The competition rank of a user: 1 + how many have a higher score.
    #[must_use]
    pub fn rank(&self, user: UserId) -> Option<u64> {
        self.entries.get(&user).map(|entry| self.rank_of_score(entry.score))
    }

    /// Rows `offset .. offset + limit`, best first.
    #[must_use]
    pub fn page(&self, offset: usize, limit: usize) -> Vec<Ranked<'_>> {
        let mut rows = Vec::with_capacity(limit.min(self.len()));
        let mut skip = offset;
        let mut previous: Option<(i64, u64)> = None;
        for block in &self.blocks {
            if skip >= block.len() {
                skip -= block.len();
                continue;
            }
            for key in &block[skip..] {
                if rows.len() == limit {
                    return rows;
                }
                // Every key has its entry: both are changed together, in `upsert` only.
                let Some(entry) = self.entries.get(&key.user) else { continue };
                let rank = match previous {
                    Some((score, rank)) if score == entry.score => rank,
                    Some(_) => (offset + rows.len()) as u64 + 1,
                    None => self.rank_of_score(entry.score),
                };
                previous = Some((entry.score, rank));
                rows.push(Ranked { rank, user: key.user, entry });
            }
            skip = 0;
        }
        rows
    }

    fn rank_of_score(&self, score: i64) -> u64 {
        // The best key that could have this score: everything before it has a higher one.
        let first = |key: &Key| key.descending_score.0 > score;
        let block = self.blocks.partition_point(|block| block.last().is_some_and(first));
        let before: usize = self.blocks[..block].iter().map(Vec::len).sum();
        let within = self.blocks.get(block).map_or(0, |keys| keys.partition_point(first));
        (before + within) as u64 + 1
    }

    fn insert_key(&mut self, key: Key) {
        if self.blocks.is_empty() {
            self.blocks.push(vec![key]);
            return;
        }
        let at = self.block_of(key).min(self.blocks.len() - 1);
        let block = &mut self.blocks[at];
        let place = block.partition_point(|held| *held < key);
        block.insert(place, key);
        if block.len() > BLOCK {
            let tail = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, tail);
        }
    }

    fn remove_key(&mut self, key: Key) {
        let at = self.block_of(key);
        let Some(block) = self.blocks.get_mut(at) else { return };
        if let Ok(place) = block.binary_search(&key) {
            block.remove(place);
            if block.is_empty() {
                self.blocks.remove(at);
            }
        }
    }

    /// The first block whose last key is not before `key`.
    fn block_of(&self, key: Key) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|last| *last < key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BoardId, Standing};
    use proptest::prelude::*;

    fn named(user: i64, score: i64, version: i64, reached_at: i64) -> NamedStanding {
        let user = UserId::parse(user).expect("valid");
        NamedStanding {
            standing: Standing { board: BoardId::main(), user, score, version, reached_at: Micros(reached_at) },
            name: UserName::parse("n").expect("valid"),
        }
    }

    fn rows(board: &Leaderboard, offset: usize, limit: usize) -> Vec<(u64, i64, i64)> {
        board.page(offset, limit).iter().map(|r| (r.rank, r.user.get(), r.entry.score)).collect()
    }

    #[test]
    fn equal_scores_share_a_rank_and_the_earlier_stands_first() {
        let mut board = Leaderboard::default();
        for (user, score, at) in [(1, 50, 9), (2, 70, 5), (3, 50, 3), (4, 10, 1)] {
            assert_eq!(board.upsert(&named(user, score, 1, at)), Upsert::Inserted);
        }
        assert_eq!(rows(&board, 0, 10), [(1, 2, 70), (2, 3, 50), (2, 1, 50), (4, 4, 10)]);
        assert_eq!(rows(&board, 2, 1), [(2, 1, 50)], "a page in the middle of a tie keeps the shared rank");
        assert_eq!(rows(&board, 9, 5), []);
    }

    #[test]
    fn only_a_newer_version_changes_a_row() {
        let mut board = Leaderboard::default();
        board.upsert(&named(1, 50, 2, 1));
        assert_eq!(board.upsert(&named(1, 99, 2, 1)), Upsert::Stale);
        assert_eq!(board.upsert(&named(1, 99, 1, 1)), Upsert::Stale);
        assert_eq!(board.upsert(&named(1, 30, 3, 1)), Upsert::Changed { difference: -20 });
        assert_eq!(rows(&board, 0, 10), [(1, 1, 30)]);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_plain_sort(
            changes in prop::collection::vec((1_i64..400, -50_i64..50, 0_i64..20), 1..2_500),
            offset in 0_usize..50,
        ) {
            let mut board = Leaderboard::default();
            let mut model: HashMap<i64, (i64, i64)> = HashMap::new();
            for (version, (user, score, at)) in changes.iter().enumerate() {
                board.upsert(&named(*user, *score, version as i64 + 1, *at));
                model.insert(*user, (*score, *at));
            }
            let mut sorted: Vec<_> = model.iter().map(|(user, (score, at))| (-score, *at, *user)).collect();
            sorted.sort_unstable();
            let expected: Vec<_> = sorted
                .iter()
                .map(|(negative, _, user)| {
                    let rank = 1 + sorted.iter().filter(|other| other.0 < *negative).count() as u64;
                    (rank, *user, -negative)
                })
                .skip(offset)
                .take(30)
                .collect();
            prop_assert_eq!(rows(&board, offset, 30), expected);
            prop_assert_eq!(board.len(), model.len());
            for (_, _, user) in &sorted {
                let id = UserId::parse(*user).expect("valid");
                let score = model[user].0;
                let higher = model.values().filter(|(other, _)| *other > score).count() as u64;
                prop_assert_eq!(board.rank(id), Some(higher + 1));
            }
        }
    }
}
