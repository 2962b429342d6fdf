//! `rotation.log`: one JSON object a line for each switch.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::state::timestamp;
use crate::clock::EpochMillis;
use crate::credential::private_file;
use crate::error::Error;

/// The size at which the log is put aside as `rotation.log.1`, in bytes.
pub(super) const LOG_LIMIT: u64 = 5 * 1024 * 1024;

/// Why the account was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchReason {
    /// The one before was out of quota.
    AutoQuota,
    /// Somebody asked for it.
    Manual,
    /// A trial.
    Test,
}

impl SwitchReason {
    /// Its name in the log and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AutoQuota => "auto_quota",
            Self::Manual => "manual",
            Self::Test => "test",
        }
    }

    fn trigger(self) -> &'static str {
        match self {
            Self::AutoQuota => "auto",
            Self::Manual | Self::Test => "manual",
        }
    }
}

impl FromStr for SwitchReason {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::AutoQuota, Self::Manual, Self::Test]
            .into_iter()
            .find(|reason| reason.as_str() == name)
            .ok_or_else(|| Error::InvalidConfig {
                place: "the switch reason".to_owned(),
                problem: "use one of auto_quota, manual, test".to_owned(),
            })
    }
}

#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    event: &'static str,
    from: u32,
    to: u32,
    reason: &'static str,
    trigger: &'static str,
}

/// Adds a line. The caller holds the folder's lock.
pub(super) fn append(
    path: &Path,
    (from, to): (u32, u32),
    reason: SwitchReason,
    now: EpochMillis,
) -> Result<(), Error> {
    let unusable = |problem: std::io::Error| private_file::unavailable(path, &problem);
    let line = Line {
        timestamp: timestamp(now),
        level: "INFO",
        event: "account_switch",
        from,
        to,
        reason: reason.as_str(),
        trigger: reason.trigger(),
    };
    let mut line = serde_json::to_vec(&line).map_err(|problem| unusable(problem.into()))?;
    line.push(b'\n');
    let full = std::fs::metadata(path)
        .is_ok_and(|log| log.len().saturating_add(line.len() as u64) > LOG_LIMIT);
    if full {
        std::fs::rename(path, private_file::beside(path, ".1")).map_err(unusable)?;
    }
    // One write of a whole line: a reader that follows the log never sees half of one.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut log| log.write_all(&line))
        .map_err(unusable)
}
