//! The qwen service: one folder's accounts behind one call.

use credential_rotation::config;
use credential_rotation::provider::Request;
use credential_rotation::qwen::{self, QwenOptions};
use credential_rotation::wrapper::CallLimits;
use napi_derive::napi;

use crate::accounts::AccountManager;
use crate::desk::Desk;
use crate::errors::{Thrown, thrown};
use crate::pool::duration;
use crate::wrapper::Wrapper;

/// One folder's accounts behind one call.
#[napi]
pub struct QwenService(qwen::QwenService);

#[napi]
impl QwenService {
    /// Opens the folder; options as JSON.
    #[napi(factory)]
    pub fn open(options: String) -> Result<Self, Thrown> {
        let opened = config::from_json::<QwenOptions>(&options, "the options")
            .and_then(qwen::QwenService::open);
        opened.map(Self).map_err(|error| thrown(&error))
    }

    /// The folder's accounts.
    #[napi]
    pub fn accounts(&self) -> AccountManager {
        AccountManager::over(self.0.accounts().clone())
    }

    /// Asks with one prompt, perhaps with another patience for each attempt; the
    /// outcome comes
    /// under `number`.
    #[napi]
    pub fn call(
        &self,
        desk: &Desk,
        number: u32,
        prompt: String,
        attempt_ms: Option<f64>,
    ) -> napi::Result<()> {
        let service = self.0.clone();
        desk.shared().submit(number, async move {
            let request = Request::prompt(prompt);
            let limits = CallLimits {
                attempt: attempt_ms.map(duration),
                ..CallLimits::default()
            };
            let outcome = service.complete(request, limits).await;
            Ok(outcome.to_json_text())
        })
    }

    /// The wrapper over the folder's accounts.
    #[napi]
    pub fn wrapper(&self) -> Wrapper {
        Wrapper::over(self.0.wrapper().clone())
    }
}
