//! The link `oauth_creds.json`, which programs read as *the* token file.
//!
//! A program that refreshes its token puts a regular file in the link's place,
//! and with it the only refresh token that is still good. So that file goes back
//! to its account before the link changes, and of two token files the one that
//! gives way is kept beside the other as `.previous`.

use std::fs::{File, FileType, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::number_of;
use crate::credential::oauth::Tokens;
use crate::credential::private_file::{self, Lock, unavailable};
use crate::error::Error;

/// What is in the link's place.
pub(super) enum Place {
    Nothing,
    /// A link to this file, which may not exist.
    Link(PathBuf),
    /// A token file that a program put there.
    File,
}

pub(super) fn look(link: &Path) -> Result<Place, Error> {
    let unusable = |problem: std::io::Error| unavailable(link, &problem);
    match std::fs::symlink_metadata(link).map(|found: Metadata| found.file_type()) {
        Ok(kind) if FileType::is_symlink(&kind) => {
            let target = std::fs::read_link(link).map_err(unusable)?;
            let folder = link.parent().unwrap_or(Path::new("."));
            Ok(Place::Link(folder.join(target)))
        }
        Ok(kind) if kind.is_file() => Ok(Place::File),
        Ok(_) => Err(unavailable(
            link,
            &"it is neither a file nor a link: move it away",
        )),
        Err(problem) if problem.kind() == ErrorKind::NotFound => Ok(Place::Nothing),
        Err(problem) => Err(unusable(problem)),
    }
}

/// The account that the link points to, if it is a link into the folder.
pub(super) fn pointed_to(link: &Path, accounts_dir: &Path) -> Option<u32> {
    let Ok(Place::Link(target)) = look(link) else {
        return None;
    };
    let (name, folder) = (target.file_name()?, target.parent()?);
    let same = |folder: &Path| std::fs::canonicalize(folder).ok();
    // A folder that was moved or mounted elsewhere keeps links with its old, absolute path.
    let ours = same(folder).is_none_or(|folder| Some(folder) == same(accounts_dir))
        && folder.file_name() == accounts_dir.file_name();
    ours.then(|| number_of(name)).flatten()
}

/// Points the link to an account's file: who opens it sees the old or the new one.
pub(super) fn point(link: &Path, file: &Path) -> Result<(), Error> {
    let unusable = |problem: std::io::Error| unavailable(link, &problem);
    let folder = link.parent().unwrap_or(Path::new("."));
    // Relative, so that it holds where the folder is mounted elsewhere.
    let target = file.strip_prefix(folder).unwrap_or(file);
    let temporary = tempfile::Builder::new()
        .prefix(".link-")
        .make_in(folder, |path| std::os::unix::fs::symlink(target, path))
        .map_err(unusable)?;
    temporary
        .persist(link)
        .map_err(|problem| unusable(problem.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(unusable)
}

/// Gives a token file in the link's place back to the account it is of.
pub(super) fn give_back(link: &Path, account: &Path, patience: Duration) -> Result<(), Error> {
    if !matches!(look(link)?, Place::File) {
        return Ok(());
    }
    let text = private_file::read(link)?;
    let found = Tokens::parse(&text).map_err(|problem| private_file::corrupt(link, problem))?;
    // No refresh may be under way: it would write over what is given back.
    let _lock = Lock::take(&private_file::beside(account, ".lock"), patience)?;
    let kept = match std::fs::symlink_metadata(account) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => None,
        Err(problem) => return Err(unavailable(account, &problem)),
        Ok(_) => Some(private_file::read(account)?),
    };
    let Some(kept) = kept else {
        return private_file::write(account, text.as_bytes());
    };
    let held = Tokens::parse(&kept).ok();
    let unchanged = held
        .as_ref()
        .is_some_and(|held| held.access_token == found.access_token && held.same_grant(&found));
    if unchanged {
        return Ok(());
    }
    let previous = private_file::beside(account, ".previous");
    let newer = held.is_none_or(|held| !held.outlives(&found));
    if newer {
        private_file::write(&previous, kept.as_bytes())?;
        private_file::write(account, text.as_bytes())
    } else {
        private_file::write(&previous, text.as_bytes())
    }
}
