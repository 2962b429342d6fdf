//! What lists and statistics of an accounts folder say.

use serde::{Deserialize, Serialize, Serializer};

use super::state::{RotationState, account_name};

/// All accounts by number; in JSON an object `{"account1": {…}, …}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountList(pub Vec<AccountEntry>);

/// One account of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEntry {
    /// Its number, from 1.
    pub index: u32,
    /// Whether the link points to it.
    pub active: bool,
    /// Whether it has a token file.
    pub exists: bool,
    /// How often it was switched to.
    pub switches_count: u64,
    /// When it was last switched to, as ISO 8601.
    pub last_used: Option<String>,
}

impl AccountList {
    pub(super) fn of(state: &RotationState, exists: impl Fn(u32) -> bool) -> Self {
        let entry = |index| {
            let stats = state.accounts.get(&account_name(index));
            AccountEntry {
                index,
                active: index == state.current_index,
                exists: exists(index),
                switches_count: stats.map_or(0, |stats| stats.switches_count),
                last_used: stats.and_then(|stats| stats.last_used.clone()),
            }
        };
        Self((1..=state.total_accounts).map(entry).collect())
    }
}

impl Serialize for AccountList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|entry| (account_name(entry.index), entry)),
        )
    }
}

/// How often each account was switched to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderStats {
    /// Switches by account; in JSON an object `{"account1": 3, …}`.
    #[serde(serialize_with = "by_name")]
    pub accounts: Vec<(u32, u64)>,
    /// All switches.
    pub total_switches: u64,
    /// When the last one was, as ISO 8601.
    pub last_switch: Option<String>,
    /// The name of the account in use.
    pub current_account: String,
    /// The name of the account switched to most often, the first of several.
    pub most_used_account: String,
    /// How often that was.
    pub most_used_count: u64,
}

impl FolderStats {
    pub(super) fn of(state: &RotationState) -> Self {
        let count = |index| {
            let stats = state.accounts.get(&account_name(index));
            (index, stats.map_or(0, |stats| stats.switches_count))
        };
        let accounts: Vec<_> = (1..=state.total_accounts).map(count).collect();
        let (most_used, most_used_count) = accounts
            .iter()
            .copied()
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .unwrap_or((1, 0));
        Self {
            accounts,
            total_switches: state.switches_total,
            last_switch: state.last_switch.clone(),
            current_account: account_name(state.current_index),
            most_used_account: account_name(most_used),
            most_used_count,
        }
    }
}

fn by_name<S: Serializer>(accounts: &[(u32, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        accounts
            .iter()
            .map(|(index, count)| (account_name(*index), count)),
    )
}
