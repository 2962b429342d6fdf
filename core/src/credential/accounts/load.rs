//! The credentials in an accounts folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::source::CredentialSource;
use super::super::{Credential, OAuthAccount};
use super::AccountsFolder;
use super::state::account_name;
use crate::error::Error;

/// The highest account number looked for.
pub(super) const MOST: u32 = 999;

/// `oauth_creds_N.json` in number order, gaps allowed, then the keys of
/// `credentials.toml` and `credentials.json` where there are any.
pub(crate) fn load(folder: &Path) -> Result<Vec<Credential>, Error> {
    let mut credentials = Vec::new();
    let accounts = AccountsFolder::open(Some(folder.to_owned()), None)?;
    let numbers = accounts.present()?;
    let account = |number: u32, file: PathBuf| {
        let account = Arc::new(OAuthAccount::open(file)?);
        Ok::<_, Error>(Credential::oauth_account(account_name(number), account))
    };
    // A program that never met this one: its token file is the only account.
    if numbers.is_empty() && accounts.creds_link().exists() {
        credentials.push(account(1, accounts.creds_link())?);
    }
    // Without it the account in use would be loaded with a token already spent.
    if !numbers.is_empty()
        && let Err(problem) = accounts.reclaim()
    {
        tracing::warn!(%problem, "the token file in the link's place was not given back to its account");
    }
    for number in numbers {
        credentials.push(account(number, accounts.account_file(number))?);
    }
    for name in ["credentials.toml", "credentials.json"] {
        let file = folder.join(name);
        if file.exists() {
            credentials.extend(CredentialSource::File(file).load()?);
        }
    }
    Ok(credentials)
}

/// `~/.qwen`.
pub(crate) fn usual_folder() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".qwen")
}

/// The numbers that have a token file, in order.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u32>, Error> {
    let unreadable = |problem: std::io::Error| Error::CredentialFileUnreadable {
        path: folder.to_owned(),
        problem: problem.to_string(),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(problem) => return Err(unreadable(problem)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(number_of(&entry.map_err(unreadable)?.file_name()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The number in the name of a token file.
pub(super) fn number_of(name: &OsStr) -> Option<u32> {
    let digits = name
        .to_str()?
        .strip_prefix("oauth_creds_")?
        .strip_suffix(".json")?;
    // `01` and `+1` parse too, but are not the file that `1` names.
    let number = digits
        .parse()
        .ok()
        .filter(|number: &u32| number.to_string() == digits)?;
    (1..=MOST).contains(&number).then_some(number)
}
