//! How a credential stands now, for lists and errors.

use serde::{Deserialize, Serialize};

use crate::clock::EpochMillis;

/// One row of `list`: a credential, whether it can be used, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// The credential's name.
    pub id: String,
    /// Whether it can be used now.
    pub state: CredentialState,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it comes back, in epoch milliseconds; `None` when not by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<EpochMillis>,
    /// Calls in flight in this process.
    pub in_flight: u32,
}

/// Whether a credential can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialState {
    /// It can.
    Ready,
    /// All its slots are in use.
    Busy,
    /// It was asked to wait, or its requests or tokens of the minute are used up.
    Cooling,
    /// It was refused or is out of quota; it is tried again once, later.
    Parked,
    /// Switched off by hand.
    Disabled,
}

impl CredentialState {
    /// Its name in JSON and lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Cooling => "cooling",
            Self::Parked => "parked",
            Self::Disabled => "disabled",
        }
    }
}
