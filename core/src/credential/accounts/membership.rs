//! Which accounts there are: setting the folder up, adding, removing.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::link::{self, Place};
use super::load::MOST;
use super::rotation_log::SwitchReason;
use super::state::{self, Found, RotationState, account_name};
use super::{AccountList, AccountsFolder};
use crate::credential::oauth::Tokens;
use crate::credential::private_file::{self, Lock, unavailable};
use crate::error::Error;

impl AccountsFolder {
    /// Makes the folders and `state.yaml` where there are none, takes the token file
    /// of a program in as an account, and sets the link. Doing it again changes nothing.
    ///
    /// # Errors
    /// What is wrong with the first token file that cannot be used;
    /// [`Error::LockTimeout`]; [`Error::StateUnavailable`].
    pub fn setup(&self) -> Result<AccountList, Error> {
        let creds_link = self.creds_link();
        for index in self.present()? {
            Tokens::read(&self.account_file(index))?;
        }
        let place = link::look(&creds_link)?;
        if matches!(place, Place::File) {
            Tokens::read(&creds_link)?;
        }
        self.make_accounts_dir()?;
        let _lock = self.lock()?;
        let mut state = self.state()?;
        let current = self.account_file(state.current_index);
        match link::look(&creds_link)? {
            Place::File => link::give_back(&creds_link, &current, self.lock_wait)?,
            // A link out of the folder, to the only account there is.
            Place::Link(_) if self.present()?.is_empty() && creds_link.exists() => {
                private_file::write(&current, private_file::read(&creds_link)?.as_bytes())?;
            }
            Place::Link(_) | Place::Nothing => {}
        }
        let present = self.present()?;
        if let Some(first) = present.first() {
            if !present.contains(&state.current_index) {
                state.current_index = *first;
            }
            if link::pointed_to(&creds_link, &self.accounts_dir()) != Some(state.current_index) {
                link::point(&creds_link, &self.account_file(state.current_index))?;
            }
        }
        self.store_if_new(&state)?;
        self.list()
    }

    /// `state.yaml` as before the first switch: all counts are forgotten.
    ///
    /// # Errors
    /// [`Error::LockTimeout`]; [`Error::StateUnavailable`].
    pub fn reset_state(&self) -> Result<RotationState, Error> {
        self.make_accounts_dir()?;
        let _lock = self.lock()?;
        let total = self.asked.unwrap_or(self.state()?.total_accounts);
        let state = RotationState::initial(total);
        state::write(&self.state_file(), &state)?;
        Ok(state)
    }

    /// Takes a copy of a token file in as a new account and gives its number: the
    /// lowest that is free. Without a file it takes the one that a program logged in
    /// with, `oauth_creds.json`, and makes it the account in use.
    ///
    /// # Errors
    /// [`Error::NoCredentials`] when there is no such file; what is wrong with it;
    /// [`Error::InvalidConfig`] when an account holds the same token;
    /// [`Error::InvalidAccountIndex`] when no number is free; [`Error::LockTimeout`];
    /// [`Error::StateUnavailable`].
    pub fn add(&self, file: Option<&Path>) -> Result<u32, Error> {
        let creds_link = self.creds_link();
        let source = file.unwrap_or(&creds_link);
        if file.is_none() && !source.exists() {
            return Err(Error::NoCredentials {
                place: source.display().to_string(),
                remedy: "log in with `qwen` first, or name a token file".to_owned(),
            });
        }
        let text = private_file::read(source)?;
        let tokens =
            Tokens::parse(&text).map_err(|problem| private_file::corrupt(source, problem))?;
        self.make_accounts_dir()?;
        let lock = self.lock()?;
        let state = self.state()?;
        let present = self.present()?;
        for index in &present {
            let held = Tokens::read(&self.account_file(*index));
            if held.is_ok_and(|held| held.same_grant(&tokens)) {
                return Err(Error::InvalidConfig {
                    place: source.display().to_string(),
                    problem: format!(
                        "account {index} holds this token already: log in with another account first"
                    ),
                });
            }
        }
        let index = (1..=MOST).find(|index| !present.contains(index)).ok_or(
            Error::InvalidAccountIndex {
                index: MOST + 1,
                total: MOST,
            },
        )?;
        let added = self.account_file(index);
        private_file::write(&added, text.as_bytes())?;
        if let Err(problem) = self.enrol(&lock, state, index, source) {
            self.discard(&added)?;
            return Err(problem);
        }
        Ok(index)
    }

    /// Deletes an account's token file; the next account becomes the one in use if
    /// it was this one. The other numbers stay.
    ///
    /// # Errors
    /// [`Error::InvalidAccountIndex`]; [`Error::CredentialFileUnreadable`] when it has no
    /// token file; [`Error::LockTimeout`]; [`Error::StateUnavailable`].
    pub fn remove(&self, index: u32) -> Result<RotationState, Error> {
        self.there(&self.state()?, index)?;
        let lock = self.lock()?;
        let mut state = self.state()?;
        self.there(&state, index)?;
        let file = self.account_file(index);
        if state.current_index == index {
            let next = self.after(&state)?.filter(|next| *next != index);
            if let Some(next) = next {
                self.usable(&state, next)?;
            }
            // What a program put in the link's place is of the account that goes.
            if next.is_none() || matches!(link::look(&self.creds_link())?, Place::File) {
                self.discard(&self.creds_link())?;
            }
            match next {
                Some(next) => state = self.turn(&lock, state, next, SwitchReason::Manual)?,
                None => state.current_index = 1,
            }
        }
        {
            // A refresh under way would write the file again.
            let _refresh = Lock::take(&private_file::beside(&file, ".lock"), self.lock_wait)?;
            self.discard(&file)?;
            self.discard(&private_file::beside(&file, ".previous"))?;
        }
        state.accounts.remove(&account_name(index));
        self.store(&lock, &state)?;
        Ok(state)
    }

    pub(super) fn make_accounts_dir(&self) -> Result<(), Error> {
        let folder = self.accounts_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|problem| unavailable(&folder, &problem))
    }

    fn enrol(
        &self,
        lock: &Lock,
        mut state: RotationState,
        index: u32,
        source: &Path,
    ) -> Result<(), Error> {
        let creds_link = self.creds_link();
        let resolved = |path: &Path| std::fs::canonicalize(path).ok();
        let linked = resolved(source) == resolved(&creds_link);
        if linked || matches!(link::look(&creds_link)?, Place::Nothing) {
            // Else what is in the link's place would go back to the account before.
            link::point(&creds_link, &self.account_file(index))?;
            state.current_index = index;
        }
        state.total_accounts = state.total_accounts.max(index);
        self.store(lock, &state)
    }

    fn there(&self, state: &RotationState, index: u32) -> Result<(), Error> {
        match self.usable(state, index) {
            // A broken token file may be removed too.
            Err(Error::CredentialFileCorrupt { .. } | Error::CredentialFilePermissions { .. }) => {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    fn store(&self, _held: &Lock, state: &RotationState) -> Result<(), Error> {
        state::write(&self.state_file(), state)
    }

    fn store_if_new(&self, state: &RotationState) -> Result<(), Error> {
        match state::read(&self.state_file())? {
            Found::State(stored) if stored == *state => Ok(()),
            _ => state::write(&self.state_file(), state),
        }
    }

    fn discard(&self, file: &Path) -> Result<(), Error> {
        match std::fs::remove_file(file) {
            Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                Err(unavailable(file, &problem))
            }
            _ => Ok(()),
        }
    }
}
