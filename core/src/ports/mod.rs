//! What Scorewire needs from outside, as traits whose obligations are written on them and held by one
//! contract suite over every adapter (`tests/contracts`). Adapters live beside this folder, grouped by port.

mod clock;
mod error;
mod job_inspector;
mod ledger;
mod queue;
mod rankings;
mod topics;

pub use clock::{Clock, SystemClock};
pub use error::{FailureKind, PortError};
pub use job_inspector::{CursorError, JobCursor, JobInspector, JobPage, JobRecord, JobState};
pub use ledger::{AppliedBatch, Ledger, NewUser, Roster, UpdateRecord, UserCreation};
pub use queue::{
    Acceptance, DeadLetter, JobKind, NewUpdate, Queue, QueueStats, QueuedState, QueuedUpdate, UpdateIdentity,
};
pub use rankings::{BoardRow, BoardSnapshot, Rankings};
pub use topics::{Announcement, Topics};
