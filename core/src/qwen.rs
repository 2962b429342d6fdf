//! The qwen service: the accounts and keys of one folder behind one call.
//!
//! It joins an accounts folder, a pool whose state the processes of this host
//! share, and a wrapper. `account-qwen`, `QwenWrapper` and services use it alike.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::credential::accounts::{AccountsFolder, SwitchReason, usual_folder};
use crate::credential::pool::StoreChoice;
use crate::credential::{CredentialPool, CredentialSource, CredentialStatus, PoolOptions};
use crate::error::Error;
use crate::provider::{Fault, FaultClass, Patience, ProviderOptions, Request, provider};
use crate::wrapper::{Attempt, CallLimits, Outcome, Target, Wrapper};

/// The name of the pool's state in the folder.
pub const STATE_FILE: &str = "pool-state.db";

/// How a service is set up; its JSON form has the same names.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QwenOptions {
    /// The folder that holds the accounts. Default: `$QWEN_DIR`, else `~/.qwen`.
    pub qwen_dir: Option<PathBuf>,
    /// Who is asked: `qwen` (the program, default) or `openai` (its endpoint, directly).
    pub provider: String,
    /// The program, when it is not on PATH.
    pub program: Option<PathBuf>,
    /// The model, when the account or key names none.
    pub model: Option<String>,
    /// The endpoint, for keys that name none.
    pub base_url: Option<String>,
    /// Retries after the first attempt. Default: 5.
    pub max_retries: u32,
    /// How long one attempt may take, in milliseconds. Default: 120,000.
    pub timeout_ms: u64,
    /// How long a call may take, in milliseconds. Default: 300,000.
    pub deadline_ms: u64,
}

impl Default for QwenOptions {
    fn default() -> Self {
        Self {
            qwen_dir: None,
            provider: "qwen".to_owned(),
            program: None,
            model: None,
            base_url: None,
            max_retries: 5,
            timeout_ms: 120_000,
            deadline_ms: 300_000,
        }
    }
}

/// One folder's accounts behind one call. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QwenService {
    accounts: AccountsFolder,
    wrapper: Wrapper,
}

impl QwenService {
    /// Opens the folder. Keys in the environment (`OPENAI_API_KEY`…) stand in when it
    /// holds no account.
    ///
    /// # Errors
    /// [`Error::NoCredentials`], [`Error::CliNotFound`], and what reading the folder gives.
    pub fn open(options: QwenOptions) -> Result<Self, Error> {
        let folder = folder_of(options.qwen_dir);
        let accounts = AccountsFolder::open(Some(folder.clone()), None)?;
        let given = CredentialSource::Accounts(folder.clone());
        let mut sources = vec![given.clone()];
        if given.load()?.is_empty() {
            sources.push(CredentialSource::Env("OPENAI".to_owned()));
        }
        let credentials = CredentialSource::load_all(Vec::new(), &sources)?;
        let provider = provider(&ProviderOptions {
            provider: options.provider,
            base_url: options.base_url,
            program: options.program,
        })?;
        // Keys of the environment may be used where there is no folder to keep state in.
        let store = if folder.is_dir() {
            StoreChoice::File(folder.join(STATE_FILE))
        } else {
            StoreChoice::Process
        };
        let pool = CredentialPool::with_options(
            credentials,
            PoolOptions {
                store,
                ..PoolOptions::default()
            },
        )?;
        let wrapper = Wrapper::builder()
            .push_target(Target {
                provider,
                pool,
                model: options.model,
            })
            .max_retries(options.max_retries)
            .patience(Patience {
                attempt: Duration::from_millis(options.timeout_ms),
                ..Patience::default()
            })
            .deadline(Duration::from_millis(options.deadline_ms))
            .build()?;
        Ok(Self { accounts, wrapper })
    }

    /// The folder.
    #[must_use]
    pub fn accounts(&self) -> &AccountsFolder {
        &self.accounts
    }

    /// The wrapper over the folder's accounts.
    #[must_use]
    pub fn wrapper(&self) -> &Wrapper {
        &self.wrapper
    }

    /// Asks with one prompt.
    pub async fn call(&self, prompt: impl Into<String>) -> Outcome {
        self.complete(Request::prompt(prompt), CallLimits::default())
            .await
    }

    /// Asks with a whole request, perhaps with limits of its own.
    ///
    /// When the folder's active account was refused or is out of quota and another
    /// answered, that one becomes the active account: whoever uses the program by
    /// hand then has one that works.
    pub async fn complete(&self, request: Request, limits: CallLimits) -> Outcome {
        let outcome = self.wrapper.complete_within(request, limits).await;
        if let Some((spent, answered)) = handed_over(&outcome) {
            let accounts = self.accounts.clone();
            let switched = tokio::task::spawn_blocking(move || {
                if accounts.state()?.current_index == spent {
                    accounts.switch_to(answered, SwitchReason::AutoQuota)?;
                }
                Ok::<_, Error>(())
            });
            // The answer is there; a folder that cannot be written costs no call.
            if let Ok(Err(problem)) = switched.await {
                tracing::warn!(%problem, "the active account could not be switched");
            }
        }
        outcome
    }

    /// How each account and key stands, by what all processes of this host know.
    pub async fn statuses(&self) -> Vec<CredentialStatus> {
        self.wrapper.pool().refreshed_list().await
    }
}

/// The account that was found spent and the one that answered in its place.
fn handed_over(outcome: &Outcome) -> Option<(u32, u32)> {
    let number = |attempt: &Attempt| attempt.credential.strip_prefix("account")?.parse().ok();
    let answered = outcome
        .trail
        .last()
        .filter(|attempt| attempt.fault.is_none())?;
    let spent = outcome.trail.iter().find(|attempt| {
        let class = attempt.fault.as_ref().map(Fault::class);
        class == Some(FaultClass::Credential)
    })?;
    Some((number(spent)?, number(answered)?))
}

/// The folder given, that of `QWEN_DIR`, or `~/.qwen`.
#[must_use]
pub fn folder_of(given: Option<PathBuf>) -> PathBuf {
    let from_environment = || std::env::var_os("QWEN_DIR").filter(|dir| !dir.is_empty());
    given
        .or_else(|| from_environment().map(PathBuf::from))
        .unwrap_or_else(usual_folder)
}
