//! Changing the account in use.

use super::rotation_log::{self, SwitchReason};
use super::state::{self, RotationState};
use super::{AccountsFolder, link};
use crate::clock::{Clock, SystemClock};
use crate::credential::private_file::Lock;
use crate::error::Error;

impl AccountsFolder {
    /// Makes an account the one in use, whatever the one before.
    ///
    /// # Errors
    /// [`Error::InvalidAccountIndex`]; [`Error::CredentialFileUnreadable`],
    /// [`Error::CredentialFileCorrupt`] or [`Error::CredentialFilePermissions`] for its
    /// token file, or for one that a program put in the link's place;
    /// [`Error::LockTimeout`]; [`Error::StateUnavailable`].
    pub fn switch_to(&self, index: u32, reason: SwitchReason) -> Result<RotationState, Error> {
        // Before the lock, so that a mistake leaves not even a lock file.
        self.usable(&self.state()?, index)?;
        let lock = self.lock()?;
        self.turn(&lock, self.state()?, index, reason)
    }

    /// Makes the next account that has a token file the one in use, after the last
    /// the first. Says whether the round goes on (not so when it begins again, or
    /// when there is no other account), and which account is in use.
    ///
    /// # Errors
    /// [`Error::NoCredentials`] for a folder without accounts, else as
    /// [`AccountsFolder::switch_to`].
    pub fn switch_next(&self, reason: SwitchReason) -> Result<(bool, u32), Error> {
        if self.present()?.is_empty() {
            return Err(self.empty());
        }
        let lock = self.lock()?;
        let state = self.state()?;
        let from = state.current_index;
        let next = self.after(&state)?.ok_or_else(|| self.empty())?;
        if next == from {
            return Ok((false, from));
        }
        self.turn(&lock, state, next, reason)?;
        Ok((next > from, next))
    }

    /// Gives a token file that a program put in the link's place back to the account
    /// in use, and makes the link a link again. Says whether there was one.
    ///
    /// # Errors
    /// As [`AccountsFolder::switch_to`].
    pub fn reclaim(&self) -> Result<bool, Error> {
        if !matches!(link::look(&self.creds_link())?, link::Place::File) {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let current = self.account_file(self.state()?.current_index);
        self.make_accounts_dir()?;
        link::give_back(&self.creds_link(), &current, self.lock_wait)?;
        link::point(&self.creds_link(), &current)?;
        Ok(true)
    }

    /// The account after the current one that has a file, round and round.
    pub(super) fn after(&self, state: &RotationState) -> Result<Option<u32>, Error> {
        let mut present = self.present()?;
        present.retain(|index| *index <= state.total_accounts);
        let next = present.iter().find(|index| **index > state.current_index);
        Ok(next.or(present.first()).copied())
    }

    pub(super) fn turn(
        &self,
        _held: &Lock,
        mut state: RotationState,
        index: u32,
        reason: SwitchReason,
    ) -> Result<RotationState, Error> {
        let file = self.usable(&state, index)?;
        let (from, now) = (state.current_index, SystemClock.now());
        let (creds_link, before) = (self.creds_link(), self.account_file(from));
        link::give_back(&creds_link, &before, self.lock_wait)?;
        link::point(&creds_link, &file)?;
        state.switched(index, now);
        if let Err(problem) = state::write(&self.state_file(), &state) {
            // Half a switch is none: the account before stays the one in use.
            if before.exists() {
                link::point(&creds_link, &before)?;
            }
            return Err(problem);
        }
        // The switch is done; a full disk must not make it look undone.
        if let Err(problem) = rotation_log::append(&self.log_file(), (from, index), reason, now) {
            tracing::warn!(%problem, "the switch is not in the rotation log");
        }
        Ok(state)
    }

    fn empty(&self) -> Error {
        Error::NoCredentials {
            place: self.accounts_dir().display().to_string(),
            remedy: "log in with `qwen`, then run `account-qwen --setup` or `--add`".to_owned(),
        }
    }
}
