//! What a batch does to the standings it touches: the part of applying that every ledger shares.

use std::collections::{HashMap, HashSet};

use crate::domain::{Outcome, Rejection, ScoreUpdate, Standing, UpdateId, UserId};

/// A user named by a batch, as the ledger holds it before the batch.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) standing: Standing,
    pub(super) deleted: bool,
}

/// A new update and what was decided about it.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) update: &'a ScoreUpdate,
    pub(super) outcome: Outcome,
    /// The score after it, when applied.
    pub(super) score: Option<i64>,
}

/// Everything a batch of one board changes.
#[derive(Debug)]
pub(super) struct Decisions<'a> {
    pub(super) new: Vec<Decision<'a>>,
    /// Users whose standing now differs from what is stored, in order of id: rows are always locked in one order.
    pub(super) changed: Vec<UserId>,
    pub(super) duplicates: u64,
}

/// Decides a batch of one board: `known` are the ids the ledger already holds, `holders` the users it names.
/// Afterwards `holders` carry the standings as they are after the batch.
pub(super) fn decide<'a>(
    updates: impl Iterator<Item = &'a ScoreUpdate>,
    known: &mut HashSet<UpdateId>,
    holders: &mut HashMap<UserId, Holder>,
) -> Decisions<'a> {
    let mut decisions = Decisions { new: Vec::new(), changed: Vec::new(), duplicates: 0 };
    let mut changed = HashSet::new();
    for update in updates {
        if !known.insert(update.id.clone()) {
            decisions.duplicates += 1;
            continue;
        }
        let applied = match holders.get_mut(&update.user) {
            None => Err(Rejection::UnknownUser),
            Some(holder) if holder.deleted => Err(Rejection::UserDeleted),
            Some(holder) => holder.standing.apply(update.operator, update.accepted_at).map(|()| {
                changed.insert(update.user);
                holder.standing.score
            }),
        };
        decisions.new.push(match applied {
            Ok(score) => Decision { update, outcome: Outcome::Applied, score: Some(score) },
            Err(rejection) => Decision { update, outcome: Outcome::Rejected(rejection), score: None },
        });
    }
    decisions.changed = changed.into_iter().collect();
    decisions.changed.sort_unstable();
    for user in &decisions.changed {
        if let Some(holder) = holders.get_mut(user) {
            holder.standing.version += 1;
        }
    }
    decisions
}
