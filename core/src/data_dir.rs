//! The data directory: everything the embedded deployment stores, held by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the data directory can not be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error(
        "the data directory {path} is in use by another scorewire{owner}: stop that one, or choose another directory with --data-dir"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who holds it, where known.
        owner: String,
    },
    /// It can not be made, read or written.
    #[error(
        "could not {operation} {path}: {source}: check free space and permissions, or choose another directory with --data-dir"
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The stored secret was damaged.
    #[error(
        "{path} holds no secret of at least 32 bytes: delete it to have a new one made (tokens signed with the old one become invalid)"
    )]
    Secret {
        /// The file.
        path: PathBuf,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { operation, path, source }
}

/// The data directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Makes the directory if need be (mode 0700) and takes its lock.
    ///
    /// # Errors
    /// [`DataDirError::Locked`] while another process holds it.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Who holds it is a courtesy; the refusal stands without.
                let _ = lock.read_to_string(&mut owner);
                let owner = owner.lines().next().map(|line| format!(" ({line})")).unwrap_or_default();
                return Err(DataDirError::Locked { path: path.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let dir = Self { path: path.to_owned(), lock };
        dir.note(&format!("process {}", std::process::id())).map_err(failed("write", &lock_path))?;
        Ok(dir)
    }

    /// Notes the address the holder answers at, for command-line tools of the same machine.
    ///
    /// # Errors
    /// When the lock file can not be written.
    pub fn announce(&self, url: &str) -> Result<(), DataDirError> {
        self.note(&format!("process {}\n{url}", std::process::id())).map_err(failed("write", &self.path.join("lock")))
    }

    fn note(&self, text: &str) -> io::Result<()> {
        let mut file = &self.lock;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    }

    /// The address a running server noted in its lock file.
    #[must_use]
    pub fn announced(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("lock")).ok()?.lines().nth(1).map(str::to_owned)
    }

    /// A file of this directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The stored signing secret of a data directory; `None` when none was made yet. Needs no lock.
///
/// # Errors
/// When the file can not be read or holds no secret.
pub fn stored_secret(dir: &Path) -> Result<Option<String>, DataDirError> {
    let path = dir.join("jwt-secret");
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= 32 => Ok(Some(secret.trim().to_owned())),
        Ok(_) => Err(DataDirError::Secret { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", &path)(source)),
    }
}

/// The stored signing secret, made now (256 random bits, mode 0600) if there is none. Says whether it is new.
///
/// # Errors
/// When the file can not be read or written.
pub fn secret_or_new(dir: &Path) -> Result<(String, bool), DataDirError> {
    if let Some(secret) = stored_secret(dir)? {
        return Ok((secret, false));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))?;
    let path = dir.join("jwt-secret");
    let secret = crate::domain::hex(&rand::random::<[u8; 32]>());
    // Written aside and linked into place: a crash leaves no half secret, and of two makers one wins.
    let draft = dir.join(format!("jwt-secret.{}", std::process::id()));
    let write = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        linked
    };
    match write() {
        Ok(()) => Ok((secret, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            stored_secret(dir)?.map(|secret| (secret, false)).ok_or(DataDirError::Secret { path })
        }
        Err(source) => Err(failed("write", &path)(source)),
    }
}
