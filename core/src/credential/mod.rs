//! Credentials: what they are, where they come from, which may be used now.
//!
//! Nothing here knows a wire format or makes an LLM call.

pub mod accounts;
mod limits;
pub mod oauth;
pub mod pool;
pub(crate) mod private_file;
mod secret;
pub mod source;
mod spec;
mod status;
pub mod store;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use url::Url;

pub use limits::Limits;
pub use oauth::OAuthAccount;
pub use pool::{CredentialPool, PoolOptions, Strategy};
pub use secret::Secret;
pub use source::CredentialSource;
pub use spec::CredentialSpec;
pub use status::{CredentialState, CredentialStatus};

/// One key or account that an LLM can be called with. Cheap to clone.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    id: String,
    secret: Custody,
    base_url: Option<Url>,
    model: Option<String>,
    weight: u32,
    quota_group: Option<String>,
    limits: Limits,
}

#[derive(Clone)]
enum Custody {
    Key(Secret),
    Account(Arc<OAuthAccount>),
}

impl Credential {
    /// An API key under a name that is safe to show.
    pub fn new(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self::kept(id.into(), Custody::Key(secret.into()))
    }

    /// An OAuth account: its token changes when it is refreshed.
    pub fn oauth_account(id: impl Into<String>, account: Arc<OAuthAccount>) -> Self {
        Self::kept(id.into(), Custody::Account(account))
    }

    /// Sends its calls there.
    #[must_use]
    pub fn with_base_url(self, url: Url) -> Self {
        self.change(|inner| inner.base_url = Some(url))
    }

    /// Asks for this model when the request names none.
    #[must_use]
    pub fn with_model(self, model: impl Into<String>) -> Self {
        self.change(|inner| inner.model = Some(model.into()))
    }

    /// Its share of the calls under the weighted strategy. Default: 1.
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        self.change(|inner| inner.weight = weight.max(1))
    }

    /// The organisation or plan whose limits it shares with others.
    #[must_use]
    pub fn with_quota_group(self, group: impl Into<String>) -> Self {
        self.change(|inner| inner.quota_group = Some(group.into()))
    }

    /// Its own limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.change(|inner| inner.limits = limits)
    }

    /// Its name: shown in trails, lists and logs, so never the key itself.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The secret to send now.
    #[must_use]
    pub fn secret(&self) -> Secret {
        match &self.0.secret {
            Custody::Key(secret) => secret.clone(),
            Custody::Account(account) => account.secret(),
        }
    }

    /// The account behind it, if its secret is a token.
    #[must_use]
    pub fn oauth(&self) -> Option<&Arc<OAuthAccount>> {
        match &self.0.secret {
            Custody::Key(_) => None,
            Custody::Account(account) => Some(account),
        }
    }

    /// Where to send calls, when it is not the provider's usual address.
    #[must_use]
    pub fn base_url(&self) -> Option<Cow<'_, Url>> {
        match (&self.0.base_url, &self.0.secret) {
            (Some(url), _) => Some(Cow::Borrowed(url)),
            (None, Custody::Account(account)) => account.base_url().map(Cow::Owned),
            (None, Custody::Key(_)) => None,
        }
    }

    /// The model to ask for when the request names none.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Its share of the calls under the weighted strategy.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.0.weight
    }

    /// The organisation or plan whose limits it shares with others.
    #[must_use]
    pub fn quota_group(&self) -> Option<&str> {
        self.0.quota_group.as_deref()
    }

    /// Its own limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    fn kept(id: String, secret: Custody) -> Self {
        Self(Arc::new(Inner {
            id,
            secret,
            base_url: None,
            model: None,
            weight: 1,
            quota_group: None,
            limits: Limits::default(),
        }))
    }

    fn change(self, edit: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        edit(&mut inner);
        Self(Arc::new(inner))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
