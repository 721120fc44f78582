//! Adapters of the [`Ledger`](crate::ports::Ledger) and [`Roster`](crate::ports::Roster) ports.

mod decide;
pub mod sqlite;

pub use sqlite::SqliteLedger;
