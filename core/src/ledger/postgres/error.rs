//! How PostgreSQL's errors read: SQLSTATE codes, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use crate::ports::{FailureKind, PortError};

/// Turns a database error into a port error of the right kind.
pub(super) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> PortError {
    move |error| {
        let (kind, advice) = judge(&error);
        PortError::new(operation, kind, error).with_advice(advice)
    }
}

/// The failure of an operation that got no answer in time.
pub(super) fn no_answer(operation: &'static str) -> PortError {
    PortError::new(operation, FailureKind::Unavailable, "the database did not answer in time")
        .with_advice(Some("check the network to the database and its load"))
}

fn judge(error: &sqlx::Error) -> (FailureKind, Option<&'static str>) {
    match error {
        sqlx::Error::Database(database) => judge_state(&database.code().unwrap_or_default()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            (FailureKind::Corrupt, None)
        }
        // A value this program can not put into the protocol: it never will.
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => (FailureKind::Rejected, None),
        sqlx::Error::PoolTimedOut => (
            FailureKind::Unavailable,
            Some("no connection in time: check that the database runs and allows enough connections"),
        ),
        // Everything else is the way to the database: sockets, TLS, the protocol, the pool.
        _ => (FailureKind::Unavailable, None),
    }
}

fn judge_state(code: &str) -> (FailureKind, Option<&'static str>) {
    use FailureKind::{Corrupt, Rejected, Unavailable};
    match code {
        "53100" => (Unavailable, Some("the database's disk is full: free some space")),
        "53300" => (Unavailable, Some("the database has no free connection: raise its limit or use fewer")),
        "58030" => (Unavailable, Some("the database's disk refuses to read or write: it may be full or failing")),
        "25006" => (Unavailable, Some("the database is read-only: connect to the primary")),
        // Damaged heap or index.
        "XX001" | "XX002" => (Corrupt, Some("the database is damaged: restore it from a backup")),
        // Nothing is wrong with the call itself: it works once the deployment is put right.
        "42P01" | "42703" | "3F000" => (Unavailable, Some("the schema is not this version's: run `scorewire migrate`")),
        "42501" => (Unavailable, Some("the database's role lacks a privilege: grant it")),
        // serialization_failure, deadlock_detected, lock_not_available, query_canceled (the statement's time limit),
        // and the end of a transaction that stood still.
        "40001" | "40P01" | "55P03" | "57014" | "25P03" => (Unavailable, None),
        _ => match code.get(..2) {
            // Connection exceptions, refused roles, missing database, resources, shutdown, the system below.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => (Unavailable, None),
            _ => (Rejected, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_later_never_uses_up_an_attempt() {
        for code in ["40P01", "40001", "57P01", "57P02", "57P03", "53100", "53300", "08006", "28P01", "3D000", "57014"]
        {
            assert_eq!(judge_state(code).0, FailureKind::Unavailable, "{code}");
        }
    }

    #[test]
    fn what_the_database_refuses_for_good_is_rejected() {
        for code in ["22021", "23514", "23505", "22003", "42601", ""] {
            assert_eq!(judge_state(code).0, FailureKind::Rejected, "{code}");
        }
        assert_eq!(judge_state("XX001").0, FailureKind::Corrupt);
    }

    #[test]
    fn a_full_disk_comes_with_advice() {
        let (_, advice) = judge_state("53100");
        assert!(advice.is_some_and(|text| text.contains("free some space")));
    }
}
