//! The data directory of the embedded deployment: whether its disk keeps what is written, and for how long.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statfs, statvfs};
use sqlx::sqlite::SqliteSynchronous;

use super::Finding;
use crate::sqlite::{self, Durability};

/// SQLite's numbers of `PRAGMA synchronous`.
const NORMAL: i64 = 1;
const FULL: i64 = 2;
const MB: u64 = 1_000_000;
/// A busy server writes this much in a minute.
const NO_SPACE: u64 = 100 * MB;
const LITTLE_SPACE: u64 = 1_000 * MB;

/// What the system says of the directory.
struct Facts {
    path: PathBuf,
    /// Permission bits; `None` while the directory does not exist.
    mode: Option<u32>,
    writable: bool,
    free_bytes: u64,
    /// `statfs`'s magic number: <https://man7.org/linux/man-pages/man2/statfs.2.html>.
    kind: u64,
}

/// Examines the directory and its disk.
pub(super) fn directory(path: &Path) -> Vec<Finding> {
    match ask(path) {
        Ok(facts) => judge(&facts),
        Err(error) => vec![Finding::unknown(
            "data_dir",
            format!("{} could not be looked at: {error}", path.display()),
            "Everything accepted is stored there.",
            "choose another directory with SCOREWIRE_DATA_DIR, or grant access",
        )],
    }
}

fn ask(path: &Path) -> io::Result<Facts> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A directory that does not exist yet is made in the nearest one that does.
    let absolute = std::path::absolute(path)?;
    let there = absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let space = statvfs(there)?;
    Ok(Facts {
        path: path.to_owned(),
        mode,
        writable: access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        // The width differs between systems; the magic numbers have 32 bits.
        kind: statfs(there)?.f_type as u64 & 0xffff_ffff,
    })
}

fn judge(facts: &Facts) -> Vec<Finding> {
    vec![writable(facts), mode(facts), space(facts), file_system(facts)]
}

fn writable(facts: &Facts) -> Finding {
    let (check, why) = ("data_dir", "Everything accepted is stored there.");
    let path = facts.path.display();
    match (facts.writable, facts.mode) {
        (true, Some(_)) => Finding::ok(check, format!("{path} can be written"), why),
        (true, None) => Finding::ok(check, format!("{path} is made at the first start"), why),
        (false, _) => Finding::danger(
            check,
            format!("{path} can not be written by this user"),
            "A server of this user does not start.",
            "grant access, run as its owner, or choose another directory with SCOREWIRE_DATA_DIR",
        ),
    }
}

fn mode(facts: &Facts) -> Finding {
    let (check, why) = ("data_dir mode", "It holds the signing secret, names and scores.");
    match facts.mode {
        Some(mode) if mode & 0o077 != 0 => Finding::risk(
            check,
            format!("{mode:04o}"),
            "Other users of this machine can look into it.",
            format!("chmod 700 {}", facts.path.display()),
        ),
        Some(mode) => Finding::ok(check, format!("{mode:04o}"), why),
        None => Finding::ok(check, "0700 once it is made", why),
    }
}

fn space(facts: &Facts) -> Finding {
    let (check, found) = ("free disk space", format!("{} MB", facts.free_bytes / MB));
    let advice = "free some space, or move the directory";
    match facts.free_bytes {
        ..NO_SPACE => Finding::danger(check, found, "Below 100 MB: updates will be refused within minutes.", advice),
        NO_SPACE..LITTLE_SPACE => Finding::risk(check, found, "Below 1 GB: a full disk refuses updates.", advice),
        _ => Finding::ok(check, found, "A full disk refuses updates; what was accepted stays."),
    }
}

fn file_system(facts: &Facts) -> Finding {
    let check = "file system";
    let network = |name| {
        Finding::risk(
            check,
            name,
            "SQLite's write-ahead log needs locks and flushes that network file systems do not promise.",
            "a local disk, or the distributed deployment (DATABASE_URL and REDIS_URL)",
        )
    };
    match facts.kind {
        0x0102_1994 | 0x8584_58f6 => Finding::danger(
            check,
            "memory (tmpfs)",
            "Everything in it is gone when the machine or the container restarts.",
            "a directory on a disk",
        ),
        0x794c_7630 => Finding::risk(
            check,
            "overlay",
            "The layer of a container goes with the container.",
            "a volume for the data directory",
        ),
        0x6969 => network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => network("SMB"),
        0x00c3_6400 => network("Ceph"),
        0x0bd0_0bd0 => network("Lustre"),
        0x0102_1997 => network("9p"),
        0x6573_5546 => network("FUSE, which may be a network"),
        0xef53 => Finding::ok(check, "ext4", "A local disk keeps what it flushed."),
        0x5846_5342 => Finding::ok(check, "XFS", "A local disk keeps what it flushed."),
        0x9123_683e => Finding::ok(check, "Btrfs", "A local disk keeps what it flushed."),
        other => Finding::ok(check, format!("kind {other:#x}"), "Not known to be a network's."),
    }
}

/// Examines the database files, opened as the server opens them; those that are not there yet are left alone.
pub(super) async fn databases(dir: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (check, synchronous, number) in [
        ("ledger.db", SqliteSynchronous::Full, FULL),
        ("queue.db", SqliteSynchronous::Normal, NORMAL),
        ("feeds.db", SqliteSynchronous::Full, FULL),
    ] {
        let path = dir.join(check);
        if !path.exists() {
            continue;
        }
        findings.push(match sqlite::durability(&path, synchronous).await {
            Ok(durability) => database(check, &durability, number),
            Err(error) => Finding::unknown(
                check,
                error.to_string(),
                "Everything accepted is stored there.",
                "look at the file and its directory; restore a backup if it is damaged",
            ),
        });
    }
    findings
}

fn database(check: &'static str, durability: &Durability, expected: i64) -> Finding {
    let Durability { journal_mode, synchronous } = durability;
    let level = ["OFF", "NORMAL", "FULL", "EXTRA"];
    let word = usize::try_from(*synchronous).ok().and_then(|n| level.get(n)).unwrap_or(&"not known");
    let found = format!("journal_mode {journal_mode}, synchronous {word}");
    if journal_mode != "wal" || *synchronous < expected {
        return Finding::danger(
            check,
            found,
            "Without them the end of the machine may lose or ruin what was committed.",
            "let no other program change the file's journal mode; start the server, which sets it again",
        );
    }
    let why = if expected == FULL {
        "A commit is on the disk when it returns."
    } else {
        "As the server opens it: accepting flushes with FULL, only fetching and acknowledging do not wait."
    };
    Finding::ok(check, found, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Level, worst};

    fn usual() -> Facts {
        Facts { path: "data".into(), mode: Some(0o700), writable: true, free_bytes: 20_000 * MB, kind: 0xef53 }
    }

    fn level(facts: &Facts, check: &str) -> Level {
        judge(facts).iter().find(|finding| finding.check == check).expect("a finding").level
    }

    #[test]
    fn a_private_directory_on_a_disk_with_space_is_safe() {
        assert_eq!(worst(&judge(&usual())), Level::Ok);
        assert_eq!(worst(&judge(&Facts { mode: None, ..usual() })), Level::Ok);
    }

    #[test]
    fn every_unsafe_fact_is_named() {
        assert_eq!(level(&Facts { writable: false, ..usual() }, "data_dir"), Level::Danger);
        assert_eq!(level(&Facts { mode: Some(0o750), ..usual() }, "data_dir mode"), Level::Risk);
        for (megabytes, expected) in [(99, Level::Danger), (100, Level::Risk), (999, Level::Risk), (1_000, Level::Ok)] {
            assert_eq!(level(&Facts { free_bytes: megabytes * MB, ..usual() }, "free disk space"), expected);
        }
        for (kind, expected) in [(0x0102_1994, Level::Danger), (0x6969, Level::Risk), (0x1234_5678, Level::Ok)] {
            assert_eq!(level(&Facts { kind, ..usual() }, "file system"), expected, "{kind:#x}");
        }
    }

    #[test]
    fn files_that_lost_their_journal_are_dangerous() {
        let durability =
            |journal_mode: &str, synchronous| Durability { journal_mode: journal_mode.to_owned(), synchronous };
        assert_eq!(database("ledger.db", &durability("wal", 2), 2).level, Level::Ok);
        assert_eq!(database("queue.db", &durability("wal", 1), 1).level, Level::Ok);
        assert_eq!(database("ledger.db", &durability("wal", 1), 2).level, Level::Danger);
        assert_eq!(database("ledger.db", &durability("delete", 2), 2).level, Level::Danger);
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_is_judged_by_where_it_will_be() {
        let parent = tempfile::tempdir().expect("a directory");
        let facts = ask(&parent.path().join("to/come")).expect("facts");
        assert_eq!((facts.mode, facts.writable), (None, true));
        assert!(!parent.path().join("to").exists(), "examining makes nothing");
    }
}
