//! The accounts folder: which account programs that read `~/.qwen` use.

use std::path::{Path, PathBuf};

use credential_rotation::credential::accounts::{AccountsFolder, SwitchReason};
use credential_rotation::{Error, config};
use napi_derive::napi;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::desk::Desk;
use crate::errors::{Thrown, thrown};
use crate::pool::duration;

/// A folder of accounts.
#[napi]
pub struct AccountManager(AccountsFolder);

/// A folder as JSON.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FolderOptions {
    qwen_dir: Option<PathBuf>,
    total_accounts: Option<u32>,
    lock_wait_ms: Option<f64>,
}

/// What the folder's parts are called.
#[derive(Serialize)]
struct Places<'a> {
    qwen_dir: &'a Path,
    state_file: PathBuf,
    lock_file: PathBuf,
    accounts_dir: PathBuf,
    creds_link: PathBuf,
    log_file: PathBuf,
}

/// A change of the folder as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    State,
    List,
    Stats,
    SwitchTo { index: u32, reason: SwitchReason },
    SwitchNext { reason: SwitchReason },
    Setup,
    Add { file: Option<PathBuf> },
    Remove { index: u32 },
}

#[napi]
impl AccountManager {
    /// The folder; options as JSON. Touches nothing.
    #[napi(factory)]
    pub fn open(options: String) -> Result<Self, Thrown> {
        let opened =
            config::from_json::<FolderOptions>(&options, "the options").and_then(|asked| {
                let folder = AccountsFolder::open(asked.qwen_dir, asked.total_accounts)?;
                Ok(match asked.lock_wait_ms {
                    Some(wait) => folder.with_lock_wait(duration(wait)),
                    None => folder,
                })
            });
        opened.map(Self).map_err(|error| thrown(&error))
    }

    /// Where its parts are, as JSON.
    #[napi]
    pub fn places(&self) -> String {
        let folder = &self.0;
        json!(Places {
            qwen_dir: folder.qwen_dir(),
            state_file: folder.state_file(),
            lock_file: folder.lock_file(),
            accounts_dir: folder.accounts_dir(),
            creds_link: folder.creds_link(),
            log_file: folder.log_file(),
        })
        .to_string()
    }

    /// Takes a step as JSON; what came of it comes under `number`.
    #[napi]
    pub fn take(&self, desk: &Desk, number: u32, step: String) -> napi::Result<()> {
        let folder = self.0.clone();
        desk.shared().submit(number, async move {
            let step = config::from_json::<Step>(&step, "the arguments")?;
            // It waits for locks and disks.
            tokio::task::spawn_blocking(move || perform(&folder, step))
                .await
                .unwrap_or(Err(Error::Closed))
        })
    }
}

impl AccountManager {
    /// Over one of the core's.
    pub(crate) fn over(folder: AccountsFolder) -> Self {
        Self(folder)
    }
}

fn perform(folder: &AccountsFolder, step: Step) -> Result<String, Error> {
    let told = match step {
        Step::State => json!(folder.state()?),
        Step::List => json!(folder.list()?),
        Step::Stats => json!(folder.stats()?),
        Step::SwitchTo { index, reason } => json!(folder.switch_to(index, reason)?),
        Step::SwitchNext { reason } => {
            let (switched, index) = folder.switch_next(reason)?;
            json!({ "switched": switched, "index": index })
        }
        Step::Setup => json!(folder.setup()?),
        Step::Add { file } => json!(folder.add(file.as_deref())?),
        Step::Remove { index } => json!(folder.remove(index)?),
    };
    Ok(told.to_string())
}
