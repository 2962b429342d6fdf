//! Providers written in Python: the core asks, `provider.py` answers.
//!
//! The question is put on a blocking thread, so that no worker waits for the GIL.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use credential_rotation::credential::Credential;
use credential_rotation::provider::{
    Fault, FaultReason, Patience, Provider, Request, Response, SharedProvider,
};
use credential_rotation::wrapper::Report;
use pyo3::prelude::*;
use serde_json::json;

/// A provider of the user's, behind the adapter of `provider.py`.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct HostProvider {
    name: String,
    adapter: Arc<Py<PyAny>>,
}

#[pymethods]
impl HostProvider {
    /// `adapter.ask(number, question, secret)` gives `(succeeded, json)`;
    /// `adapter.cancel(number)` says that nobody waits any more.
    #[new]
    fn new(name: String, adapter: Py<PyAny>) -> Self {
        Self {
            name,
            adapter: Arc::new(adapter),
        }
    }
}

impl HostProvider {
    /// The provider for a wrapper.
    pub(crate) fn shared(&self) -> SharedProvider {
        Arc::new(Asked {
            name: self.name.clone(),
            adapter: Arc::clone(&self.adapter),
        })
    }
}

struct Asked {
    name: String,
    adapter: Arc<Py<PyAny>>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostProvider").field(&self.name).finish()
    }
}

#[async_trait]
impl Provider for Asked {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        _patience: Patience,
    ) -> Result<Response, Fault> {
        let question = json!({
            "request": request,
            "credential": {
                "id": credential.id(),
                "base_url": credential.base_url().map(|url| url.to_string()),
                "model": request.model.as_deref().or(credential.model()),
            },
        })
        .to_string();
        let secret = credential.secret().expose().to_owned();
        let adapter = Arc::clone(&self.adapter);
        let mut waiting = Waiting {
            adapter: Arc::clone(&adapter),
            number: next_number(),
            over: false,
        };
        let number = waiting.number;
        let asked = tokio::task::spawn_blocking(move || {
            Python::try_attach(|py| -> PyResult<(bool, String)> {
                adapter
                    .call_method1(py, "ask", (number, question, secret))?
                    .extract(py)
            })
        })
        .await;
        waiting.over = true;
        let gone = || Fault::new(FaultReason::Crashed, "the interpreter is shutting down");
        match asked.map_err(|_| gone())?.ok_or_else(gone)? {
            Ok((true, json)) => serde_json::from_str(&json).map_err(|problem| {
                let words = format!("the provider's answer is not a response: {problem}");
                Fault::new(FaultReason::InvalidOutput, words)
            }),
            Ok((false, report)) => Err(match Report::from_json(&report) {
                Ok(report) => report.into_provider_fault(credential),
                Err(error) => Fault::new(FaultReason::BadRequest, error.to_string()),
            }),
            Err(problem) => {
                let words = format!("the provider failed: {problem}");
                Err(Fault::new(FaultReason::BadRequest, words).without(&credential.secret()))
            }
        }
    }
}

/// Tells the adapter when its answer is not waited for any more.
struct Waiting {
    adapter: Arc<Py<PyAny>>,
    number: u64,
    over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (adapter, number) = (Arc::clone(&self.adapter), self.number);
        let tell = move || {
            Python::try_attach(|py| {
                if let Err(problem) = adapter.call_method1(py, "cancel", (number,)) {
                    problem.write_unraisable(py, None);
                }
            });
        };
        // Without a runtime the process is ending, and the work with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(tell));
        }
    }
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
