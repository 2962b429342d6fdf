//! The accounts folder as users have it: numbered files, a link, `state.yaml`, `rotation.log`.
//!
//! Who refreshes tokens is elsewhere (`oauth`), and so is who picks an account
//! for a call (`pool`): those need no link. This is for programs that read
//! `~/.qwen/oauth_creds.json`, and for people who switch by hand. Methods block.

mod link;
mod load;
mod membership;
mod overview;
mod rotation_log;
mod state;
mod switch;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use load::{load, usual_folder};
pub use overview::{AccountEntry, AccountList, FolderStats};
pub use rotation_log::SwitchReason;
pub use state::{AccountStats, RotationState};

use self::load::MOST;
use self::state::Found;
use super::oauth::Tokens;
use super::private_file::Lock;
use crate::error::Error;

/// Accounts where nobody says how many.
const USUAL_TOTAL: u32 = 5;

/// How long another process may hold the folder.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A folder of accounts.
#[derive(Debug, Clone)]
pub struct AccountsFolder {
    qwen_dir: PathBuf,
    asked: Option<u32>,
    lock_wait: Duration,
}

impl AccountsFolder {
    /// The folder (default: `~/.qwen`) with room for so many accounts (default: what
    /// `state.yaml` says, else 5). Touches nothing: it need not exist yet.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a number of accounts that cannot be, or no home folder.
    pub fn open(qwen_dir: Option<PathBuf>, total_accounts: Option<u32>) -> Result<Self, Error> {
        if total_accounts.is_some_and(|total| !(1..=MOST).contains(&total)) {
            return Err(Error::InvalidConfig {
                place: "total_accounts".to_owned(),
                problem: format!("give a number from 1 to {MOST}"),
            });
        }
        let qwen_dir = qwen_dir.unwrap_or_else(usual_folder);
        if qwen_dir.as_os_str().is_empty() {
            return Err(Error::InvalidConfig {
                place: "qwen_dir".to_owned(),
                problem: "it is empty: name a folder".to_owned(),
            });
        }
        Ok(Self {
            qwen_dir,
            asked: total_accounts,
            lock_wait: LOCK_WAIT,
        })
    }

    /// Waits so long for another process that changes the folder. Default: 10 s.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The folder.
    #[must_use]
    pub fn qwen_dir(&self) -> &Path {
        &self.qwen_dir
    }

    /// `state.yaml`.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.qwen_dir.join("state.yaml")
    }

    /// The file whose lock a change takes; never deleted, holds nothing.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.qwen_dir.join("rotation.lock")
    }

    /// Where the accounts' token files are.
    #[must_use]
    pub fn accounts_dir(&self) -> PathBuf {
        self.qwen_dir.join("accounts")
    }

    /// The link to the token file in use.
    #[must_use]
    pub fn creds_link(&self) -> PathBuf {
        self.qwen_dir.join("oauth_creds.json")
    }

    /// `rotation.log`.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.qwen_dir.join("rotation.log")
    }

    /// An account's token file.
    #[must_use]
    pub fn account_file(&self, index: u32) -> PathBuf {
        self.accounts_dir()
            .join(format!("oauth_creds_{index}.json"))
    }

    /// What `state.yaml` says; where there is none, or a corrupt one, the initial
    /// state. A link into the folder is believed more than the file, which is written after it.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it is there and cannot be read.
    pub fn state(&self) -> Result<RotationState, Error> {
        let file = self.state_file();
        let (mut state, new) = match state::read(&file)? {
            Found::State(state) => (state, false),
            Found::Missing => (
                RotationState::initial(self.asked.unwrap_or(USUAL_TOTAL)),
                true,
            ),
            Found::Corrupt(problem) => {
                tracing::warn!(file = %file.display(), %problem, "the state file is corrupt: going by the initial state");
                (
                    RotationState::initial(self.asked.unwrap_or(USUAL_TOTAL)),
                    true,
                )
            }
        };
        if !new {
            state.total_accounts = state.total_accounts.max(self.asked.unwrap_or(0));
        }
        if self.asked.is_none() {
            let highest = self.present()?.last().copied().unwrap_or(0);
            state.total_accounts = state.total_accounts.max(highest);
        }
        state.total_accounts = state.total_accounts.clamp(1, MOST);
        if let Some(index) = link::pointed_to(&self.creds_link(), &self.accounts_dir()) {
            state.current_index = index;
        }
        if !(1..=state.total_accounts).contains(&state.current_index) {
            state.current_index = 1;
        }
        Ok(state)
    }

    /// Each account, by number.
    ///
    /// # Errors
    /// As [`AccountsFolder::state`].
    pub fn list(&self) -> Result<AccountList, Error> {
        let state = self.state()?;
        Ok(AccountList::of(&state, |index| {
            self.account_file(index).exists()
        }))
    }

    /// How often each account was switched to.
    ///
    /// # Errors
    /// As [`AccountsFolder::state`].
    pub fn stats(&self) -> Result<FolderStats, Error> {
        Ok(FolderStats::of(&self.state()?))
    }

    /// The numbers that have a token file, in order.
    fn present(&self) -> Result<Vec<u32>, Error> {
        load::numbers(&self.accounts_dir())
    }

    fn lock(&self) -> Result<Lock, Error> {
        Lock::take(&self.lock_file(), self.lock_wait)
    }

    /// Checks that an account's number may be and that its file is a token file.
    fn usable(&self, state: &RotationState, index: u32) -> Result<PathBuf, Error> {
        let total = state.total_accounts;
        if !(1..=total).contains(&index) {
            return Err(Error::InvalidAccountIndex { index, total });
        }
        let file = self.account_file(index);
        if !file.exists() {
            return Err(Error::CredentialFileUnreadable {
                path: file,
                problem: format!(
                    "account {index} has no token file: add one with `account-qwen --add`"
                ),
            });
        }
        Tokens::read(&file)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
