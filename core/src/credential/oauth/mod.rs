//! OAuth accounts: a token file, and its refresh done once for all who wait.
//!
//! The file is the truth: a program or process that rotates the token in it is
//! believed, and its token adopted without a request.

mod endpoint;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::{Mutex, RwLock};
use url::Url;

pub use endpoint::TokenEndpoint;

use self::endpoint::Refusal;
pub(crate) use self::tokens::Tokens;
use super::Secret;
use super::private_file::{self, Lock};
use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::error::Error;
use crate::provider::{Fault, FaultReason};

/// How long another process may take over a refresh.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// A token is refreshed this long before it expires, in milliseconds.
const SKEW: u64 = 30_000;

/// How long a caller waits for a refresh: the lock, the endpoint and some room.
const PATIENCE: Duration = Duration::from_secs(65);

/// One account's token file.
pub struct OAuthAccount {
    file: PathBuf,
    endpoint: TokenEndpoint,
    lock_wait: Duration,
    held: RwLock<Held>,
    /// The refresh under way in this process.
    flight: Mutex<Option<Flight>>,
}

struct Held {
    tokens: Tokens,
    stamp: Stamp,
    /// Redeemed, but the disk did not take them: newer than the file.
    unsaved: bool,
    /// A refresh token that the endpoint called invalid: not worth another request.
    condemned: Option<Secret>,
}

type Stamp = Option<(SystemTime, u64, u64)>;

#[derive(Clone)]
struct Flight {
    // A forked child has its parent's memory, but not the task that would land.
    process: u32,
    landed: Arc<AtomicBool>,
    outcome: Shared<BoxFuture<'static, Result<(), Fault>>>,
}

impl OAuthAccount {
    /// Reads a token file as qwen, gemini, codex or claude writes it. Only qwen's are
    /// refreshed here; of the others a newer token is taken over once it is in the file.
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
        // The file behind a link: a write must not replace the link, and two links
        // to one file must share its lock.
        let file = std::fs::canonicalize(&file).unwrap_or(file);
        let stamp = stamp(&file);
        let tokens = Tokens::read(&file)?;
        Ok(Self {
            file,
            endpoint,
            lock_wait: LOCK_WAIT,
            held: RwLock::new(Held {
                tokens,
                stamp,
                unsaved: false,
                condemned: None,
            }),
            flight: Mutex::new(None),
        })
    }

    /// Waits so long for another process that refreshes the token. Default: 30 s.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
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

    /// Whether the access token has expired, or is about to. Asked before each
    /// attempt, so it is here that a change of the file is noticed.
    #[must_use]
    pub fn needs_refresh(&self, now: EpochMillis) -> bool {
        if let Err(problem) = self.reread() {
            tracing::warn!(%problem, "the token file cannot be used: going on with the token held");
            self.held.write().stamp = stamp(&self.file);
        }
        let own = self.held.read().tokens.refreshed_by().is_none();
        own && self.expired(now.saturating_add(SKEW))
    }

    /// Replaces the access token `stale` by a newer one: from the file if another
    /// task, process or program has refreshed it, else from the token endpoint.
    ///
    /// A refresh once begun goes on when its callers are cancelled: what it redeems
    /// would be lost.
    ///
    /// # Errors
    /// [`FaultReason::LoginRequired`] when the account must log in again;
    /// [`FaultReason::AccountBusy`] when another process keeps the file for too long;
    /// [`FaultReason::Connect`] and the like when the endpoint does not answer.
    pub async fn refresh(self: &Arc<Self>, stale: &Secret) -> Result<(), Fault> {
        // Twice, for one who joins a flight that began with an older token.
        for _ in 0..2 {
            let flight = {
                let mut slot = self.flight.lock();
                let under_way = slot.as_ref().filter(|flight| flight.is_under_way());
                match under_way.cloned() {
                    Some(flight) => flight,
                    // Looked at under the lock: whoever landed before has changed it.
                    None if self.is_newer_than(stale) => return Ok(()),
                    None => slot.insert(self.take_off()).clone(),
                }
            };
            match tokio::time::timeout(PATIENCE, flight.outcome).await {
                Ok(outcome) => outcome?,
                Err(_) => return Err(self.busy("its refresh takes too long")),
            }
            if self.secret() != *stale {
                break;
            }
        }
        Ok(())
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
        self.read()
    }

    fn take_off(self: &Arc<Self>) -> Flight {
        let landed = Arc::new(AtomicBool::new(false));
        let (account, done) = (Arc::clone(self), Arc::clone(&landed));
        let task = tokio::spawn(async move {
            let outcome = account.renew().await;
            done.store(true, Ordering::Release);
            outcome
        });
        let interrupted = || Fault::new(FaultReason::Connect, "the refresh was interrupted");
        let outcome = async move { task.await.unwrap_or_else(|_| Err(interrupted())) };
        Flight {
            process: std::process::id(),
            landed,
            outcome: outcome.boxed().shared(),
        }
    }

    async fn renew(self: &Arc<Self>) -> Result<(), Fault> {
        let stale = self.secret();
        let _lock = self.lock().await?;
        self.look_again().await?;
        if self.is_newer_than(&stale) {
            return Ok(());
        }
        let (tokens, condemned) = {
            let held = self.held.read();
            (held.tokens.clone(), held.condemned.clone())
        };
        if let Some(program) = tokens.refreshed_by() {
            return Err(self.program_wanted(program));
        }
        if condemned.is_some() && condemned == tokens.refresh_token {
            return Err(self.login_wanted("refused before"));
        }
        match self.endpoint.redeem(&tokens).await {
            Ok(answer) => {
                self.keep(tokens.renewed(answer));
                Ok(())
            }
            // Someone who does not take our lock may have been quicker.
            Err(Refusal::Invalid(said)) => {
                self.look_again().await?;
                if self.secret() != tokens.access_token {
                    return Ok(());
                }
                self.held.write().condemned = tokens.refresh_token;
                Err(self.login_wanted(&said))
            }
            Err(Refusal::Trouble(fault)) => Err(fault),
        }
    }

    /// Writes here and now, although that blocks: between an `await` and a write
    /// the runtime may end, and the old refresh token is spent.
    fn keep(&self, tokens: Tokens) {
        let written = tokens.write(&self.file);
        let mut held = self.held.write();
        held.tokens = tokens;
        held.unsaved = written.is_err();
        held.condemned = None;
        if let Err(problem) = written {
            tracing::error!(%problem, "the refreshed token is held in memory only: it is lost when this process ends");
        } else {
            held.stamp = stamp(&self.file);
        }
    }

    async fn lock(&self) -> Result<Lock, Fault> {
        let (path, wait) = (self.lock_file(), self.lock_wait);
        self.off_thread(move || Lock::take(&path, wait)).await
    }

    /// Reads the file whether or not it seems to have changed.
    async fn look_again(self: &Arc<Self>) -> Result<(), Fault> {
        let account = Arc::clone(self);
        self.off_thread(move || account.read()).await
    }

    fn read(&self) -> Result<(), Error> {
        let seen = stamp(&self.file);
        let read = Tokens::read(&self.file);
        let mut held = self.held.write();
        // What could not be written is worth more than what is there since before.
        if held.unsaved && !read.as_ref().is_ok_and(|read| read.outlives(&held.tokens)) {
            return Ok(());
        }
        held.tokens = read?;
        held.stamp = seen;
        held.unsaved = false;
        Ok(())
    }

    fn expired(&self, at: EpochMillis) -> bool {
        let expiry = self.held.read().tokens.expiry_date;
        expiry.is_some_and(|expiry| expiry <= at)
    }

    fn is_newer_than(&self, stale: &Secret) -> bool {
        self.secret() != *stale && !self.expired(SystemClock.now())
    }

    fn lock_file(&self) -> PathBuf {
        private_file::beside(&self.file, ".lock")
    }

    fn busy(&self, problem: &str) -> Fault {
        let file = self.file.display();
        Fault::new(FaultReason::AccountBusy, format!("{file}: {problem}"))
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Fault> {
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error @ Error::LockTimeout { .. })) => Err(self.busy(&error.to_string())),
            Ok(Err(error)) => Err(Fault::new(FaultReason::LoginRequired, error.to_string())),
            Err(_) => Err(Fault::new(
                FaultReason::Connect,
                "the refresh was interrupted",
            )),
        }
    }

    fn program_wanted(&self, program: &str) -> Fault {
        let file = self.file.display();
        Fault::new(
            FaultReason::LoginRequired,
            format!(
                "the token in {file} was refused, and only `{program}` refreshes it: run `{program}` with that account, or log in again there"
            ),
        )
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

impl Flight {
    fn is_under_way(&self) -> bool {
        self.process == std::process::id() && !self.landed.load(Ordering::Acquire)
    }
}

fn stamp(file: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.ino(), metadata.len()))
}

#[cfg(test)]
mod tests;
