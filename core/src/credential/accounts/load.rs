//! The credentials in an accounts folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::source::CredentialSource;
use super::super::{Credential, OAuthAccount};
use crate::error::Error;

/// The highest account number looked for.
const MOST: u32 = 999;

/// `oauth_creds_N.json` in number order, gaps allowed, then the keys of
/// `credentials.toml` and `credentials.json` where there are any.
pub(crate) fn load(folder: &Path) -> Result<Vec<Credential>, Error> {
    let mut numbers = numbers(&folder.join("accounts"))?;
    numbers.sort_unstable();
    let mut credentials = Vec::new();
    for number in numbers {
        let file = folder
            .join("accounts")
            .join(format!("oauth_creds_{number}.json"));
        let account = Arc::new(OAuthAccount::open(file)?);
        credentials.push(Credential::oauth_account(
            format!("account{number}"),
            account,
        ));
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

fn numbers(folder: &Path) -> Result<Vec<u32>, Error> {
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
        let name = entry.map_err(unreadable)?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("oauth_creds_")?
                .strip_suffix(".json")?
                .parse()
                .ok()
        });
        numbers.extend(number.filter(|number| (1..=MOST).contains(number)));
    }
    Ok(numbers)
}
