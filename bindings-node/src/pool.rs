//! The pool: who may be used now, for hosts that look or lend a hand.

use std::future::Future;
use std::time::Duration;

use credential_rotation::Error;
use credential_rotation::config;
use credential_rotation::credential::{self, CredentialSource, CredentialSpec, PoolOptions};
use napi_derive::napi;
use serde::Deserialize;
use serde_json::json;

use crate::desk::Desk;
use crate::errors::{Thrown, thrown};

/// Credentials that calls borrow.
#[napi]
pub struct CredentialPool(credential::CredentialPool);

/// A pool as JSON: its credentials, where further ones come from, and its options.
#[derive(Deserialize)]
struct PoolSetUp {
    #[serde(default)]
    credentials: Vec<CredentialSpec>,
    #[serde(default)]
    sources: Vec<CredentialSource>,
    #[serde(flatten)]
    options: PoolOptions,
}

#[napi]
impl CredentialPool {
    /// From JSON.
    #[napi(factory)]
    pub fn from_json(options: String) -> Result<Self, Thrown> {
        let built = config::from_json::<PoolSetUp>(&options, "the options of the pool").and_then(
            |set_up| {
                let credentials = CredentialSource::load_all(set_up.credentials, &set_up.sources)?;
                credential::CredentialPool::with_options(credentials, set_up.options)
            },
        );
        built.map(Self).map_err(|error| thrown(&error))
    }

    /// Every credential's state as this process knows it, as JSON.
    #[napi]
    pub fn list(&self) -> String {
        json!(self.0.list()).to_string()
    }

    /// The same after a look at what other processes did, under `number`.
    #[napi]
    pub fn refreshed_list(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let pool = self.0.clone();
        desk.shared().submit(number, async move {
            Ok(json!(pool.refreshed_list().await).to_string())
        })
    }

    /// Keeps a credential out for a while.
    #[napi]
    pub fn cool(
        &self,
        desk: &Desk,
        number: u32,
        id: String,
        wait_ms: f64,
        reason: String,
    ) -> napi::Result<()> {
        self.mark(desk, number, |pool| async move {
            pool.cool(&id, duration(wait_ms), &reason).await
        })
    }

    /// Keeps a credential out until it is admitted, or for a while.
    #[napi]
    pub fn park(
        &self,
        desk: &Desk,
        number: u32,
        id: String,
        wait_ms: Option<f64>,
        reason: String,
    ) -> napi::Result<()> {
        self.mark(desk, number, |pool| async move {
            pool.park(&id, wait_ms.map(duration), &reason).await
        })
    }

    /// Keeps a credential out until it is admitted.
    #[napi]
    pub fn disable(
        &self,
        desk: &Desk,
        number: u32,
        id: String,
        reason: String,
    ) -> napi::Result<()> {
        self.mark(desk, number, |pool| async move {
            pool.disable(&id, &reason).await
        })
    }

    /// Takes every mark off a credential.
    #[napi]
    pub fn admit(&self, desk: &Desk, number: u32, id: String) -> napi::Result<()> {
        self.mark(desk, number, |pool| async move { pool.admit(&id).await })
    }

    /// How many credentials there are.
    #[napi(getter)]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

impl CredentialPool {
    /// The pool that a wrapper has.
    pub(crate) fn over(pool: credential::CredentialPool) -> Self {
        Self(pool)
    }

    /// The core's pool.
    pub(crate) fn core(&self) -> credential::CredentialPool {
        self.0.clone()
    }

    fn mark<F>(
        &self,
        desk: &Desk,
        number: u32,
        work: impl FnOnce(credential::CredentialPool) -> F,
    ) -> napi::Result<()>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let marking = work(self.0.clone());
        desk.shared().submit(
            number,
            async move { marking.await.map(|()| "null".to_owned()) },
        )
    }
}

/// Milliseconds as JavaScript has them: less than nothing is nothing, and there is
/// no more than a century.
pub(crate) fn duration(wait_ms: f64) -> Duration {
    const CENTURY_MS: f64 = 3.2e12;
    Duration::from_millis(wait_ms.clamp(0.0, CENTURY_MS) as u64)
}
