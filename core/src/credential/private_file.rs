//! Files of this user's alone: read with a bound, written whole or not at all,
//! locked in a way that dies with the holder. Every function blocks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, millis};
use crate::error::Error;

/// The largest credential file that is read, in bytes.
pub(crate) const FILE_LIMIT: u64 = 1024 * 1024;

const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Refuses a file that others can read or write.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    open_private(path).map(drop)
}

/// Reads a text file that nobody else may read.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let file = open_private(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|problem| unreadable(path, &problem))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(corrupt(path, format!("it is over {FILE_LIMIT} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| corrupt(path, "it is not UTF-8 text"))
}

fn open_private(path: &Path) -> Result<File, Error> {
    let file = open_regular(path).map_err(|problem| unreadable(path, &problem))?;
    let metadata = file
        .metadata()
        .map_err(|problem| unreadable(path, &problem))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::CredentialFilePermissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(file)
}

fn unreadable(path: &Path, problem: &std::io::Error) -> Error {
    Error::CredentialFileUnreadable {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Opens a file for reading that is a file: a pipe in its place would block for ever.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    Ok(file)
}

/// A file's name with more at its end.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a file that nobody else may read: a reader sees the old or the new one, whole.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let unusable = |problem: std::io::Error| unavailable(path, &problem);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(unusable)?;
    temporary.write_all(content).map_err(unusable)?;
    temporary.as_file().sync_all().map_err(unusable)?;
    temporary
        .persist(path)
        .map_err(|problem| unusable(problem.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(unusable)
}

/// A lock that all processes of this host respect, given up when dropped or when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting for whoever has it.
    pub(crate) fn take(path: &Path, patience: Duration) -> Result<Self, Error> {
        let give_up = SystemClock.now().saturating_add(millis(patience));
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if SystemClock.now() >= give_up {
                return Err(Error::LockTimeout {
                    path: path.to_owned(),
                    waited: patience,
                });
            }
            std::thread::sleep(LOCK_LOOK);
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|problem| unavailable(path, &problem))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(problem)) => Err(unavailable(path, &problem)),
        }
    }
}

pub(crate) fn corrupt(path: &Path, problem: impl Into<String>) -> Error {
    Error::CredentialFileCorrupt {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

pub(crate) fn unavailable(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::StateUnavailable {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}
