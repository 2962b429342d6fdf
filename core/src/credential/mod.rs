//! Credentials: what they are, where they come from, which may be used now.
//!
//! Nothing here knows a wire format or makes an LLM call.

pub mod accounts;
pub mod oauth;
pub mod pool;
mod secret;
pub mod source;
mod status;
pub mod store;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

pub use pool::{CredentialPool, PoolOptions, Strategy};
pub use secret::Secret;
pub use status::{CredentialState, CredentialStatus};

/// One key or account that an LLM can be called with. Cheap to clone.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    id: String,
    secret: Secret,
    base_url: Option<Url>,
    model: Option<String>,
    weight: u32,
    quota_group: Option<String>,
    limits: Limits,
}

/// What a credential may be asked for. `None` means no limit.
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

impl Credential {
    /// An API key under a name that is safe to show.
    pub fn new(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self(Arc::new(Inner {
            id: id.into(),
            secret: secret.into(),
            base_url: None,
            model: None,
            weight: 1,
            quota_group: None,
            limits: Limits::default(),
        }))
    }
    /// TEMP
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        self.change(|inner| inner.weight = weight)
    }
    /// TEMP
    #[must_use]
    pub fn with_quota_group(self, group: impl Into<String>) -> Self {
        self.change(|inner| inner.quota_group = Some(group.into()))
    }
    /// TEMP
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.change(|inner| inner.limits = limits)
    }
    fn change(self, edit: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        edit(&mut inner);
        Self(Arc::new(inner))
    }
    /// Its name: shown in trails, lists and logs, so never the key itself.
    pub fn id(&self) -> &str {
        &self.0.id
    }
    /// The secret to send now.
    pub fn secret(&self) -> Secret {
        self.0.secret.clone()
    }
    /// Where to send calls, when it is not the provider's usual address.
    pub fn base_url(&self) -> Option<&Url> {
        self.0.base_url.as_ref()
    }
    /// The model to ask for when the request names none.
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }
    /// Its share of the calls under the weighted strategy.
    pub fn weight(&self) -> u32 {
        self.0.weight
    }
    /// The organisation or plan whose limits it shares with others.
    pub fn quota_group(&self) -> Option<&str> {
        self.0.quota_group.as_deref()
    }
    /// TEMP
    pub fn oauth(&self) -> Option<&Arc<oauth::OAuthAccount>> {
        None
    }
    /// Its own limits.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
