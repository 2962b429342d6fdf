//! A private home for each run or account, so that no two accounts ever mix.
//!
//! A key's home lasts one run. An account's home stays beside its token file and
//! is used by one run at a time: a program that refreshes the token there is the
//! only one to, and its token goes back to the account that the run began with.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::super::{Fault, FaultReason};
use super::profile::CliProfile;
use crate::credential::oauth::Tokens;
use crate::credential::private_file::{self, Lock};
use crate::error::Error;

/// A home in use. Dropping it gives it back.
pub(super) struct Home {
    pub(super) path: PathBuf,
    /// An empty folder to run in.
    pub(super) work: PathBuf,
    account: Option<Account>,
    _temporary: TempDir,
}

struct Account {
    file: PathBuf,
    copy: PathBuf,
    _lock: Lock,
}

impl Home {
    /// A home for one run with a key. Blocks on the disk.
    pub(super) fn for_key(profile: &CliProfile) -> Result<Self, Fault> {
        let temporary = temporary()?;
        let path = temporary.path().join("home");
        let home = Self::lay(profile, path, temporary, None);
        home.map_err(|problem| unusable(&problem))
    }

    /// The home of an account, if no other run on this host uses it. Blocks on the disk.
    pub(super) fn for_account(profile: &CliProfile, file: &Path) -> Result<Self, Fault> {
        let stem = file
            .file_stem()
            .map_or_else(|| "account".into(), |stem| stem.to_string_lossy());
        let folder = file.parent().unwrap_or(Path::new("."));
        let homes = folder.join("homes");
        let path = homes.join(stem.as_ref()).join(&profile.name);
        private_folder(&path).map_err(|problem| unusable(&problem))?;
        // The lock that a refresh takes too: while a program runs that may refresh this
        // token, nobody else does.
        let lock = Lock::try_take(&private_file::beside(file, ".lock")).map_err(|e| refused(&e))?;
        let Some(lock) = lock else {
            let busy = format!(
                "another run on this host uses the account of {}",
                file.display()
            );
            let second = Some(Duration::from_secs(1));
            return Err(Fault::new(FaultReason::AccountBusy, busy).with_retry_after(second));
        };
        let copy = path.join(&profile.account.token_file);
        // A run that was killed may have left a newer token here.
        take_newer(&copy, file).map_err(|e| refused(&e))?;
        let account = Account {
            file: file.to_owned(),
            copy,
            _lock: lock,
        };
        let laid = Self::lay(profile, path, temporary()?, Some(account));
        let home = laid.map_err(|problem| unusable(&problem))?;
        if let Some(account) = &home.account {
            let content = private_file::read(&account.file).map_err(|e| refused(&e))?;
            private_file::write(&account.copy, content.as_bytes()).map_err(|e| refused(&e))?;
        }
        Ok(home)
    }

    fn lay(
        profile: &CliProfile,
        path: PathBuf,
        temporary: TempDir,
        account: Option<Account>,
    ) -> io::Result<Self> {
        private_folder(&path)?;
        let work = temporary.path().join("work");
        private_folder(&work)?;
        let files = profile
            .files
            .iter()
            .map(|(file, content)| (file, Some(content)));
        let token = account
            .is_some()
            .then_some((&profile.account.token_file, None));
        for (file, content) in files.chain(token) {
            let file = path.join(file);
            if let Some(folder) = file.parent() {
                private_folder(folder)?;
            }
            if let Some(content) = content {
                let mut options = fs::OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                options.open(file)?.write_all(content.as_bytes())?;
            }
        }
        Ok(Self {
            path,
            work,
            account,
            _temporary: temporary,
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(account) = &self.account
            && let Err(problem) = take_newer(&account.copy, &account.file)
        {
            tracing::warn!(%problem, "a refreshed token could not be copied back; the next run will try again");
        }
    }
}

/// Copies a token file over another if it is newer by its own expiry date.
fn take_newer(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.exists() {
        return Ok(());
    }
    // Programs write their copy as they like; only this user reads this folder.
    let _ = fs::set_permissions(from, fs::Permissions::from_mode(0o600));
    let (Ok(theirs), Ok(ours)) = (private_file::read(from), private_file::read(to)) else {
        return Ok(());
    };
    // A file that holds no token never wins.
    let newer = match (Tokens::parse(&theirs), Tokens::parse(&ours)) {
        (Ok(theirs), Ok(ours)) => theirs.outlives(&ours),
        (theirs, _) => theirs.is_ok(),
    };
    if theirs != ours && newer {
        private_file::write(to, theirs.as_bytes())?;
    }
    Ok(())
}

fn temporary() -> Result<TempDir, Fault> {
    tempfile::Builder::new()
        .prefix("credential-rotation-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|problem| unusable(&problem))
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn unusable(problem: &io::Error) -> Fault {
    Fault::new(
        FaultReason::Crashed,
        format!("cannot make a home for the run: {problem}"),
    )
}

fn refused(error: &Error) -> Fault {
    Fault::new(FaultReason::LoginRequired, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(access: &str, expiry: u64) -> String {
        format!(r#"{{"access_token":"{access}","expiry_date":{expiry}}}"#)
    }

    fn account() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("oauth_creds_2.json");
        private_file::write(&file, token("tok-secret-1", 100).as_bytes()).unwrap();
        (folder, file)
    }

    fn access(file: &Path) -> String {
        let value: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        value["access_token"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_refreshed_by_the_program_goes_back_to_its_account() {
        let (_folder, file) = account();
        let home = Home::for_account(&CliProfile::qwen(), &file).unwrap();
        let copy = home.path.join(".qwen/oauth_creds.json");
        fs::write(&copy, token("tok-secret-2", 200)).unwrap();
        drop(home);
        assert_eq!(access(&file), "tok-secret-2");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn an_older_or_broken_copy_never_replaces_the_token() {
        for left in [token("tok-secret-0", 50), "{".to_owned(), token("", 900)] {
            let (_folder, file) = account();
            let home = Home::for_account(&CliProfile::qwen(), &file).unwrap();
            fs::write(home.path.join(".qwen/oauth_creds.json"), left).unwrap();
            drop(home);
            assert_eq!(access(&file), "tok-secret-1");
        }
    }

    #[test]
    fn a_token_left_by_a_killed_run_is_taken_by_the_next() {
        let (_folder, file) = account();
        let home = Home::for_account(&CliProfile::qwen(), &file).unwrap();
        let copy = home.path.join(".qwen/oauth_creds.json");
        drop(home);
        fs::write(&copy, token("tok-secret-3", 300)).unwrap();
        let _home = Home::for_account(&CliProfile::qwen(), &file).unwrap();
        assert_eq!(access(&file), "tok-secret-3");
    }

    #[test]
    fn the_token_files_of_every_program_go_there_and_back() {
        let codex =
            r#"{"tokens":{"access_token":"tok-secret-1"},"last_refresh":"2026-01-01T00:00:00Z"}"#;
        let claude = r#"{"claudeAiOauth":{"accessToken":"tok-secret-1","expiresAt":100}}"#;
        let gemini =
            r#"{"access_token":"tok-secret-1","scope":"googleapis.com","expiry_date":100}"#;
        let rows = [
            (CliProfile::codex(), codex, "2026-01", "2026-02"),
            (CliProfile::claude(), claude, "100", "200"),
            (CliProfile::gemini(), gemini, "100", "200"),
        ];
        for (profile, content, old, new) in rows {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("oauth_creds_1.json");
            private_file::write(&file, content.as_bytes()).unwrap();
            let home = Home::for_account(&profile, &file).unwrap();
            let copy = home.path.join(&profile.account.token_file);
            assert_eq!(fs::read_to_string(&copy).unwrap(), content);
            let refreshed = content.replace(old, new);
            fs::write(&copy, &refreshed).unwrap();
            drop(home);
            assert_eq!(
                fs::read_to_string(&file).unwrap(),
                refreshed,
                "{}",
                profile.name
            );
        }
    }

    #[test]
    fn one_account_is_used_by_one_run_at_a_time() {
        let (_folder, file) = account();
        let first = Home::for_account(&CliProfile::qwen(), &file).unwrap();
        let second = Home::for_account(&CliProfile::qwen(), &file).err().unwrap();
        assert_eq!(second.reason, FaultReason::AccountBusy);
        drop(first);
        Home::for_account(&CliProfile::qwen(), &file).unwrap();
    }

    #[test]
    fn the_home_of_a_key_is_private_and_goes_with_the_run() {
        let home = Home::for_key(&CliProfile::qwen()).unwrap();
        let (path, work) = (home.path.clone(), home.work.clone());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
        assert!(path.join(".qwen/settings.json").exists());
        drop(home);
        assert!(!path.exists() && !work.exists());
    }
}
