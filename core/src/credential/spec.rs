//! A credential as data: the form that files, options and all languages share.

use serde::Deserialize;

use super::{Credential, Limits, Secret};
use crate::error::Error;
use crate::provider::http::parse_base_url;

/// A credential as data. Unknown names are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// Its name, safe to show. Default: `key-N` by its place in the list.
    #[serde(default)]
    pub id: Option<String>,
    /// The key.
    pub secret: Secret,
    /// Where to send calls, when it is not the provider's usual address.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The model to ask for when the request names none.
    #[serde(default)]
    pub model: Option<String>,
    /// Its share under the weighted strategy, at least 1. Default: 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// The organisation or plan whose limits it shares with others.
    #[serde(default)]
    pub quota_group: Option<String>,
    /// Calls in flight at once.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Requests in any 60 seconds.
    #[serde(default)]
    pub rpm: Option<u32>,
    /// Tokens in any 60 seconds.
    #[serde(default)]
    pub tpm: Option<u64>,
}

fn one() -> u32 {
    1
}

impl CredentialSpec {
    /// The credential. `place` is its place in the list, from 1.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an empty id or secret, or a weight or limit of 0;
    /// [`Error::InvalidUrl`].
    pub fn build(self, place: usize) -> Result<Credential, Error> {
        let id = self.id.unwrap_or_else(|| format!("key-{place}"));
        let refused = |problem: &str| Error::InvalidConfig {
            place: format!("the credential `{id}`"),
            problem: problem.to_owned(),
        };
        if id.trim().is_empty() || id.chars().any(char::is_control) {
            return Err(Error::InvalidConfig {
                place: format!("credential {place}"),
                problem: "its id is empty or has control characters".to_owned(),
            });
        }
        if self.secret.is_empty() {
            return Err(refused("its secret is empty"));
        }
        if !self
            .secret
            .expose()
            .trim()
            .chars()
            .all(|c| c.is_ascii_graphic())
        {
            return Err(refused(
                "its secret has characters that no header can carry",
            ));
        }
        if self.weight == 0 {
            return Err(refused("its weight is 0: give at least 1, or leave it out"));
        }
        if self.concurrency == Some(0) || self.rpm == Some(0) || self.tpm == Some(0) {
            return Err(refused("a limit is 0: give at least 1, or leave it out"));
        }
        let base_url = self.base_url.as_deref().map(parse_base_url).transpose()?;
        let mut credential = Credential::new(id, self.secret.expose().trim())
            .with_weight(self.weight)
            .with_limits(Limits {
                concurrency: self.concurrency,
                rpm: self.rpm,
                tpm: self.tpm,
            });
        if let Some(url) = base_url {
            credential = credential.with_base_url(url);
        }
        if let Some(model) = self.model {
            credential = credential.with_model(model);
        }
        if let Some(group) = self.quota_group {
            credential = credential.with_quota_group(group);
        }
        Ok(credential)
    }
}
