//! What SQLite and the file system say, as it is told to users: what is wrong and what to do.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::job::JobError;

/// The backend as it is named in errors and listings.
pub(crate) fn backend(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// A file that cannot be made or opened.
pub(crate) fn unopened(path: &Path, problem: &std::io::Error) -> JobError {
    let remedy = match problem.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            "make the folder first, or give another path"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => WRITABLE,
        ErrorKind::IsADirectory => "give the path of a file in it",
        ErrorKind::StorageFull => FULL,
        _ => "look at the path and its file system",
    };
    unavailable(path, problem.to_string(), remedy)
}

/// What SQLite could not do.
pub(crate) fn of(path: &Path, problem: &rusqlite::Error) -> JobError {
    let said = problem.to_string();
    if matches!(problem, rusqlite::Error::FromSqlConversionFailure(..)) {
        return unsuitable(path, said, BROKEN);
    }
    match problem.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            unsuitable(path, said, BROKEN)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => unavailable(
            path,
            said,
            "another process has had it for five seconds: end that, or try again",
        ),
        Some(ErrorCode::DiskFull) => unavailable(path, said, FULL),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            unavailable(path, said, WRITABLE)
        }
        Some(ErrorCode::CannotOpen) => unavailable(
            path,
            said,
            "make sure its folder is there and that this user may write to it",
        ),
        _ => unavailable(path, said, "look at the file and its file system"),
    }
}

/// A file of a later version of this library.
pub(crate) fn newer(path: &Path, found: i64, known: i64) -> JobError {
    let problem = format!("its layout is {found}, this version knows {known}");
    unsuitable(
        path,
        problem,
        "upgrade this process, or give it another file",
    )
}

/// A database with other tables.
pub(crate) fn foreign(path: &Path) -> JobError {
    let problem = "it is another program's database".to_owned();
    unsuitable(path, problem, "give the path of a new file")
}

/// The thread that writes has ended, or could not begin.
pub(crate) fn no_writer(path: &Path, problem: impl Into<String>) -> JobError {
    unavailable(path, problem.into(), "open it again")
}

const WRITABLE: &str = "let this user write to the file and its folder";
const FULL: &str = "free some space: what was taken in before is kept";
const BROKEN: &str =
    "move it away, or restore it with `sqlite3 FILE .recover`; it was left as it is";

fn unavailable(path: &Path, problem: String, remedy: &str) -> JobError {
    JobError::Unavailable {
        backend: backend(path),
        problem,
        remedy: remedy.to_owned(),
    }
}

fn unsuitable(path: &Path, problem: String, remedy: &str) -> JobError {
    JobError::Unsuitable {
        backend: backend(path),
        problem,
        remedy: remedy.to_owned(),
    }
}

/// What is in a column cannot be read: the file was changed by others.
pub(crate) fn unreadable(
    problem: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(problem))
}

/// As a column holds it.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As it was before a column held it.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
