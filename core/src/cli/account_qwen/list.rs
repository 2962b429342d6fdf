//! `--list`: each account and key, its state and when it comes back.
//!
//! Looks and changes nothing; one broken account does not hide the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::table::{self, Cell};
use crate::cli::{exit, when};
use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::credential::accounts::{AccountEntry, AccountsFolder};
use crate::credential::pool::StoreChoice;
use crate::credential::{
    Credential, CredentialPool, CredentialSource, CredentialStatus, OAuthAccount, PoolOptions,
};
use crate::qwen::STATE_FILE;

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    /// The account's number; keys have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    active: bool,
    /// As the pool says, or `missing`, or `unusable` with the reason.
    state: &'static str,
    reason: Option<String>,
    until: Option<EpochMillis>,
    switches_count: u64,
    last_used: Option<String>,
}

/// Prints the list.
pub(super) fn show(accounts: &AccountsFolder, as_json: bool, shell: &mut Shell<'_>) -> Ended {
    let entries = accounts.list()?.0;
    let found = Found::look(accounts, &entries);
    let statuses = match found.statuses(accounts)? {
        Waited::Done(statuses) => statuses,
        Waited::Signalled(code) => return Ok(code),
    };
    let rows = rows(entries, statuses, found.broken);
    if as_json {
        shell.say_json(&json!({ "success": true, "accounts": rows }))?;
    } else {
        print(&rows, SystemClock.now(), shell)?;
    }
    Ok(exit::OK)
}

/// The credentials of a folder, and what is wrong with the others.
#[derive(Default)]
struct Found {
    credentials: Vec<Credential>,
    broken: BTreeMap<String, String>,
}

impl Found {
    fn look(accounts: &AccountsFolder, entries: &[AccountEntry]) -> Self {
        let mut found = Self::default();
        for entry in entries.iter().filter(|entry| entry.exists) {
            found.take(entry.index, accounts.account_file(entry.index));
        }
        // A folder that was never set up: the token file of qwen is the only account.
        if !entries.iter().any(|entry| entry.exists) && accounts.creds_link().exists() {
            found.take(1, accounts.creds_link());
        }
        for name in ["credentials.toml", "credentials.json"] {
            let file = accounts.qwen_dir().join(name);
            if file.exists() {
                found.add(name, &CredentialSource::File(file));
            }
        }
        // As a call does it.
        if found.credentials.is_empty() && found.broken.is_empty() {
            found.add("environment", &CredentialSource::Env("OPENAI".to_owned()));
        }
        found
    }

    fn take(&mut self, index: u32, file: std::path::PathBuf) {
        let id = format!("account{index}");
        match OAuthAccount::open(file) {
            Ok(account) => self
                .credentials
                .push(Credential::oauth_account(id, Arc::new(account))),
            Err(problem) => drop(self.broken.insert(id, problem.to_string())),
        }
    }

    fn add(&mut self, name: &str, source: &CredentialSource) {
        match source.load() {
            Ok(credentials) => self.credentials.extend(credentials),
            Err(problem) => drop(self.broken.insert(name.to_owned(), problem.to_string())),
        }
    }

    fn statuses(&self, accounts: &AccountsFolder) -> Result<Waited<Vec<CredentialStatus>>, Stop> {
        if self.credentials.is_empty() {
            return Ok(Waited::Done(Vec::new()));
        }
        let state = accounts.qwen_dir().join(STATE_FILE);
        let store = if state.exists() {
            StoreChoice::File(state)
        } else {
            StoreChoice::Process
        };
        let options = PoolOptions {
            store,
            ..PoolOptions::default()
        };
        let pool = CredentialPool::with_options(self.credentials.clone(), options)?;
        wait_for(async move { pool.refreshed_list().await })
    }
}

/// Accounts by number, then keys, then what cannot be read.
fn rows(
    entries: Vec<AccountEntry>,
    statuses: Vec<CredentialStatus>,
    mut broken: BTreeMap<String, String>,
) -> Vec<Row> {
    let mut statuses: Vec<_> = statuses.into_iter().map(Some).collect();
    let mut rows = Vec::new();
    for entry in entries {
        let id = format!("account{}", entry.index);
        let status = statuses
            .iter_mut()
            .find(|status| status.as_ref().is_some_and(|status| status.id == id))
            .and_then(Option::take);
        let problem = broken.remove(&id);
        let state = match (&status, &problem) {
            (Some(status), _) => status.state.as_str(),
            (None, Some(_)) => "unusable",
            (None, None) => "missing",
        };
        rows.push(Row {
            id,
            index: Some(entry.index),
            active: entry.active && state != "missing",
            state,
            until: status.as_ref().and_then(|status| status.until),
            reason: status.and_then(|status| status.reason).or(problem),
            switches_count: entry.switches_count,
            last_used: entry.last_used,
        });
    }
    let keys = statuses.into_iter().flatten();
    rows.extend(keys.map(|key| row(key.id, key.state.as_str(), key.reason, key.until)));
    rows.extend(
        broken
            .into_iter()
            .map(|(name, problem)| row(name, "unusable", Some(problem), None)),
    );
    rows
}

fn row(id: String, state: &'static str, reason: Option<String>, until: Option<u64>) -> Row {
    Row {
        id,
        index: None,
        active: false,
        state,
        reason,
        until,
        switches_count: 0,
        last_used: None,
    }
}

fn print(rows: &[Row], now: EpochMillis, shell: &mut Shell<'_>) -> Result<(), Stop> {
    let heads = [
        "#",
        "IN USE",
        "ID",
        "STATE",
        "SWITCHES",
        "LAST USED",
        "COMES BACK",
        "REASON",
    ];
    let cells = |row: &Row| -> [Cell; 8] {
        let number = |count: u64| count.to_string();
        [
            row.index
                .map_or_else(String::new, |index| number(index.into()))
                .into(),
            if row.active { "*" } else { "" }.into(),
            row.id.as_str().into(),
            Cell::of_state(row.state),
            row.index
                .map_or_else(String::new, |_| number(row.switches_count))
                .into(),
            row.last_used.as_deref().unwrap_or_default().into(),
            row.until
                .map_or_else(String::new, |until| when::comes_back(until, now))
                .into(),
            row.reason.as_deref().unwrap_or_default().into(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    table::print(heads, &rows, shell)
}
