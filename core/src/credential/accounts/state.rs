//! `state.yaml`: which account is current, and how often each was switched to.
//!
//! What this version does not know is kept. The file holds no secret.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_norway::Mapping;

use crate::clock::EpochMillis;
use crate::credential::private_file;
use crate::error::Error;

/// The largest `state.yaml` that is read, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// What `state.yaml` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RotationState {
    /// The account in use, from 1.
    #[serde(default = "first")]
    pub current_index: u32,
    /// How many accounts there may be.
    #[serde(default = "usual_total")]
    pub total_accounts: u32,
    /// When the account was last changed, as ISO 8601.
    #[serde(default)]
    pub last_switch: Option<String>,
    /// How often it was changed.
    #[serde(default)]
    pub switches_total: u64,
    /// The accounts switched to so far, by name (`account1`…).
    #[serde(default)]
    pub accounts: BTreeMap<String, AccountStats>,
    /// Keys of other versions.
    #[serde(flatten)]
    pub(super) others: Mapping,
}

/// One account's part of `state.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountStats {
    /// How often it was switched to.
    #[serde(default)]
    pub switches_count: u64,
    /// When it was last switched to, as ISO 8601.
    #[serde(default)]
    pub last_used: Option<String>,
    /// Keys of other versions.
    #[serde(flatten)]
    pub(super) others: Mapping,
}

impl RotationState {
    /// Before the first switch.
    #[must_use]
    pub fn initial(total_accounts: u32) -> Self {
        Self {
            current_index: first(),
            total_accounts,
            last_switch: None,
            switches_total: 0,
            accounts: BTreeMap::new(),
            others: Mapping::new(),
        }
    }

    /// Counts a switch.
    pub(super) fn switched(&mut self, index: u32, now: EpochMillis) {
        let at = timestamp(now);
        let stats = self.accounts.entry(account_name(index)).or_default();
        stats.switches_count = stats.switches_count.saturating_add(1);
        stats.last_used = Some(at.clone());
        self.last_switch = Some(at);
        self.switches_total = self.switches_total.saturating_add(1);
        self.current_index = index;
    }
}

fn first() -> u32 {
    1
}

fn usual_total() -> u32 {
    super::USUAL_TOTAL
}

/// The name of an account in files and lists.
pub(crate) fn account_name(index: u32) -> String {
    format!("account{index}")
}

/// What is in the place of `state.yaml`.
pub(super) enum Found {
    State(RotationState),
    Missing,
    /// Told without the content.
    Corrupt(String),
}

pub(super) fn read(path: &Path) -> Result<Found, Error> {
    let unusable = |problem: &dyn std::fmt::Display| private_file::unavailable(path, problem);
    let file = match private_file::open_regular(path) {
        Ok(file) => file,
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(Found::Missing),
        Err(problem) => return Err(unusable(&problem)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|problem| unusable(&problem))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Ok(Found::Corrupt(format!("it is over {FILE_LIMIT} bytes")));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(Found::Corrupt("it is empty".to_owned()));
    }
    Ok(match serde_norway::from_slice(&bytes) {
        Ok(state) => Found::State(state),
        Err(problem) => Found::Corrupt(problem.to_string()),
    })
}

/// Writes it whole. A corrupt one that is there is put aside first.
pub(super) fn write(path: &Path, state: &RotationState) -> Result<(), Error> {
    let unusable = |problem: &dyn std::fmt::Display| private_file::unavailable(path, problem);
    let text = serde_norway::to_string(state).map_err(|problem| unusable(&problem))?;
    if let Found::Corrupt(problem) = read(path)? {
        let aside = aside(path);
        tracing::warn!(file = %path.display(), kept = %aside.display(), %problem, "the state file is corrupt: put aside, starting from the initial state");
        std::fs::rename(path, &aside).map_err(|problem| unusable(&problem))?;
    }
    private_file::write(path, text.as_bytes())
}

/// Where a corrupt state file is kept.
pub(super) fn aside(path: &Path) -> PathBuf {
    private_file::beside(path, ".corrupt")
}

/// ISO 8601 in UTC, as Python's `datetime.fromisoformat` reads it from 3.7 on.
pub(super) fn timestamp(now: EpochMillis) -> String {
    i64::try_from(now)
        .ok()
        .and_then(|now| jiff::Timestamp::from_millisecond(now).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
        .to_string()
}
