//! How a pool is set up.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Strategy;
use crate::credential::store::{PoolStore, SqliteStore};
use crate::error::Error;

/// The options of a pool; its JSON form has the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolOptions {
    /// How to choose among the credentials that can be used. Default: round robin.
    pub strategy: Strategy,
    /// How many calls may wait while all credentials are in use. Default: 10,000.
    pub max_waiting: usize,
    /// How long a credential that was not seen to work yet is kept to one call,
    /// in milliseconds. Default: 2,000; 0 never does.
    pub probe_ms: u64,
    /// Where cooldowns and budgets are shared with other processes. Default: nowhere.
    pub store: StoreChoice,
}

/// Where a pool's state is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<PathBuf>", into = "Option<PathBuf>")]
pub enum StoreChoice {
    /// In this process alone.
    #[default]
    Process,
    /// In a file that the processes of this host share.
    File(PathBuf),
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            max_waiting: 10_000,
            probe_ms: 2_000,
            store: StoreChoice::Process,
        }
    }
}

impl StoreChoice {
    pub(super) fn open(&self) -> Result<Option<Arc<dyn PoolStore>>, Error> {
        match self {
            Self::Process => Ok(None),
            Self::File(path) => Ok(Some(Arc::new(SqliteStore::open(path)?))),
        }
    }
}

impl From<Option<PathBuf>> for StoreChoice {
    fn from(path: Option<PathBuf>) -> Self {
        path.map_or(Self::Process, Self::File)
    }
}

impl From<StoreChoice> for Option<PathBuf> {
    fn from(choice: StoreChoice) -> Self {
        match choice {
            StoreChoice::Process => None,
            StoreChoice::File(path) => Some(path),
        }
    }
}
