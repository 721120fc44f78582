//! Adapters of the [`Ledger`](crate::ports::Ledger) and [`Roster`](crate::ports::Roster) ports.
//!
//! - [`sqlite`]: one process and its file
//! - [`postgres`]: a database that any number of servers and workers share

mod decide;
pub mod postgres;
pub mod sqlite;

pub use postgres::{PostgresLedger, PostgresOptions, SchemaError};
pub use sqlite::SqliteLedger;
