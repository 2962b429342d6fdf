//! What a credential may be asked for.

use serde::{Deserialize, Serialize};

/// A credential's limits. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in flight at once.
    pub concurrency: Option<u32>,
    /// Requests in any 60 seconds.
    pub rpm: Option<u32>,
    /// Tokens in any 60 seconds: reserved by estimate, settled to the usage reported.
    pub tpm: Option<u64>,
}
