//! Adapters of the ports [`Ledger`](crate::ports::Ledger) and [`Roster`](crate::ports::Roster), and of
//! [`RequestLog`](crate::ports::RequestLog), which lies in the same database.
//!
//! - [`sqlite`]: one process and its file
//! - [`postgres`]: a database that any number of servers and workers share

mod decide;
pub mod postgres;
mod requests;
pub mod sqlite;

pub use postgres::{PostgresLedger, PostgresOptions, SchemaError};
pub use sqlite::SqliteLedger;
