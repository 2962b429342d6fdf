//! OAuth accounts: a token file, and its refresh done once for all who wait.
//!
//! The file is the truth: a program or process that rotates the token in it is
//! believed, and its token adopted without a request.

mod endpoint;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use url::Url;

pub use endpoint::TokenEndpoint;

use self::endpoint::Refusal;
pub(super) use self::tokens::Tokens;
use super::Secret;
use super::private_file::Lock;
use crate::clock::EpochMillis;
use crate::error::Error;
use crate::provider::{Fault, FaultReason};

/// How long another process may take over a refresh.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// A token is refreshed this long before it expires, in milliseconds.
const SKEW: u64 = 30_000;

/// One account's token file.
pub struct OAuthAccount {
    file: PathBuf,
    endpoint: TokenEndpoint,
    held: RwLock<Held>,
    /// One refresh at a time in this process.
    gate: tokio::sync::Mutex<()>,
}

struct Held {
    tokens: Tokens,
    stamp: Stamp,
}

type Stamp = Option<(SystemTime, u64)>;

impl OAuthAccount {
    /// Reads a token file as the qwen CLI writes it.
    ///
    /// # Errors
    /// [`Error::CredentialFileUnreadable`], [`Error::CredentialFileCorrupt`] or
    /// [`Error::CredentialFilePermissions`].
    pub fn open(file: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_with(file, TokenEndpoint::default())
    }

    /// The same with another token endpoint.
    ///
    /// # Errors
    /// As [`OAuthAccount::open`].
    pub fn open_with(file: impl Into<PathBuf>, endpoint: TokenEndpoint) -> Result<Self, Error> {
        let file = file.into();
        let stamp = stamp(&file);
        let tokens = Tokens::read(&file)?;
        Ok(Self {
            file,
            endpoint,
            held: RwLock::new(Held { tokens, stamp }),
            gate: tokio::sync::Mutex::new(()),
        })
    }

    /// The token file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The access token, as last read.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.held.read().tokens.access_token.clone()
    }

    /// Where this account's calls go.
    #[must_use]
    pub fn base_url(&self) -> Option<Url> {
        self.held.read().tokens.base_url()
    }

    /// Whether the access token has expired, or is about to.
    #[must_use]
    pub fn needs_refresh(&self, now: EpochMillis) -> bool {
        let expiry = self.held.read().tokens.expiry_date;
        expiry.is_some_and(|expiry| expiry <= now.saturating_add(SKEW))
    }

    /// Replaces the access token `stale` by a newer one: from the file if another
    /// task, process or program has refreshed it, else from the token endpoint.
    ///
    /// # Errors
    /// [`FaultReason::LoginRequired`] when the account must log in again;
    /// [`FaultReason::Connect`] and the like when the endpoint does not answer.
    pub async fn refresh(self: &Arc<Self>, stale: &Secret) -> Result<(), Fault> {
        let _turn = self.gate.lock().await;
        if self.secret() != *stale {
            return Ok(());
        }
        let lock = self.lock().await?;
        if self.adopt(stale).await? {
            return Ok(());
        }
        let tokens = self.held.read().tokens.clone();
        match self.endpoint.redeem(&tokens).await {
            Ok(answer) => {
                let (account, renewed) = (Arc::clone(self), tokens.renewed(answer));
                off_thread(move || {
                    renewed.write(&account.file)?;
                    account.hold(renewed);
                    drop(lock);
                    Ok(())
                })
                .await
            }
            // Someone who does not take our lock may have been quicker.
            Err(Refusal::Invalid(said)) if !self.adopt(stale).await? => {
                Err(self.login_wanted(&said))
            }
            Err(Refusal::Invalid(_)) => Ok(()),
            Err(Refusal::Trouble(fault)) => Err(fault),
        }
    }

    /// Reads the file again if it has changed since.
    ///
    /// # Errors
    /// As [`OAuthAccount::open`]; what is held stays.
    pub fn reread(&self) -> Result<(), Error> {
        let seen = stamp(&self.file);
        if seen.is_some() && self.held.read().stamp == seen {
            return Ok(());
        }
        let tokens = Tokens::read(&self.file)?;
        *self.held.write() = Held {
            tokens,
            stamp: seen,
        };
        Ok(())
    }

    async fn lock(&self) -> Result<Lock, Fault> {
        let path = self.lock_file();
        off_thread(move || Lock::take(&path, LOCK_WAIT)).await
    }

    async fn adopt(self: &Arc<Self>, stale: &Secret) -> Result<bool, Fault> {
        let account = Arc::clone(self);
        off_thread(move || account.reread()).await?;
        Ok(self.secret() != *stale)
    }

    fn hold(&self, tokens: Tokens) {
        *self.held.write() = Held {
            tokens,
            stamp: stamp(&self.file),
        };
    }

    fn lock_file(&self) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    fn login_wanted(&self, said: &str) -> Fault {
        let file = self.file.display();
        Fault::new(
            FaultReason::LoginRequired,
            format!(
                "the refresh token in {file} is not valid any more ({said}): log in again and `account-qwen --add` it"
            ),
        )
    }
}

impl fmt::Debug for OAuthAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthAccount")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn stamp(file: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.ino()))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Fault> {
    let told = |problem: String| Fault::new(FaultReason::LoginRequired, problem);
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| told(error.to_string())),
        Err(_) => Err(told("the refresh was interrupted".to_owned())),
    }
}

#[cfg(test)]
mod tests;
