//! What must hold when things break: nothing accepted is lost, nothing is applied twice, and what is wrong is said.

mod churn;
mod crashes;
mod fetch_jobs;
mod orphans;
mod poison;
mod refusals;
mod restarts;
mod shutdown;
mod storage;
mod streams;

use scorewire_core::domain::{BoardId, Micros, Operator, RequestId, Subject, UserId};
use scorewire_core::ports::{NewUpdate, UpdateIdentity};

/// A keyless update of a user's score by 1, for tests that go straight to a queue.
fn update(user: i64) -> NewUpdate {
    NewUpdate {
        identity: UpdateIdentity::Keyless,
        board: BoardId::main(),
        user: UserId::parse(user).expect("valid"),
        operator: Operator::Increment(1),
        accepted_at: Micros(1),
        submitter: Subject::new("tester"),
        request: RequestId::new("r"),
        reply_to: None,
    }
}
