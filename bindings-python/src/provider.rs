//! Providers written in Python: the core asks, `provider.py` answers.
//!
//! A question is handed over and answered later: the provider's code runs on threads
//! and loops of Python's, never on the runtime's.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use credential_rotation::credential::{Credential, Secret};
use credential_rotation::provider::{
    Fault, FaultReason, Patience, Provider, Request, Response, SharedProvider,
};
use credential_rotation::wrapper::Report;
use parking_lot::Mutex;
use pyo3::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;

use crate::asker::Asker;
use crate::dispatch::dispatch;

/// A provider of the user's, behind the adapter of `provider.py`.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct HostProvider {
    name: String,
    adapter: Arc<Py<PyAny>>,
}

#[pymethods]
impl HostProvider {
    /// `adapter.put(question)` returns at once; the answer comes by `Question.answer`.
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

/// One request to a provider, with one credential.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Question {
    told: String,
    secret: Secret,
    asker: Option<Arc<Asker>>,
    attention: Arc<Mutex<Attention>>,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// Whether it succeeded, and the response or report as JSON.
type Answer = (bool, String);

enum Attention {
    /// Somebody waits; what shall be called when that is over.
    Waited(Option<Py<PyAny>>),
    GivenUp,
}

#[pymethods]
impl Question {
    /// The request and the credential as JSON, without the secret.
    #[getter]
    fn told(&self) -> &str {
        &self.told
    }

    /// The bare secret.
    #[getter]
    fn secret(&self) -> &str {
        self.secret.expose()
    }

    /// The event loop of the call, when a coroutine made it.
    #[getter]
    fn event_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let event_loop = self.asker.as_ref()?.event_loop.as_ref();
        event_loop.map(|event_loop| event_loop.clone_ref(py))
    }

    /// The context variables of the call.
    #[getter]
    fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let asker = self.asker.as_ref();
        asker.map(|asker| asker.context.clone_ref(py))
    }

    /// Answers it: whether that succeeded, and the response or report as JSON.
    fn answer(&self, succeeded: bool, json: String) {
        if let Some(answer) = self.answer.lock().take() {
            // Fails when nobody waits any more.
            let _ = answer.send((succeeded, json));
        }
    }

    /// Has `callback` called when nobody waits for the answer any more: at once, when
    /// that is so already.
    fn when_given_up(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        {
            let mut attention = self.attention.lock();
            if let Attention::Waited(call) = &mut *attention {
                *call = Some(callback);
                return Ok(());
            }
        }
        callback.call0(py).map(drop)
    }
}

/// Gives the question up when it is dropped before the answer is there.
struct Waiting(Arc<Mutex<Attention>>);

impl Waiting {
    fn answered(&self) {
        *self.0.lock() = Attention::Waited(None);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let was = std::mem::replace(&mut *self.0.lock(), Attention::GivenUp);
        if let Attention::Waited(Some(callback)) = was {
            dispatch(move |py| {
                if let Err(problem) = callback.call0(py) {
                    problem.write_unraisable(py, None);
                }
            });
        }
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
        let attention = Arc::new(Mutex::new(Attention::Waited(None)));
        let waiting = Waiting(Arc::clone(&attention));
        let (sender, answer) = oneshot::channel();
        let question = Question {
            told: told(request, credential),
            secret: credential.secret(),
            asker: Asker::of_this_task(),
            attention,
            answer: Mutex::new(Some(sender)),
        };
        let adapter = Arc::clone(&self.adapter);
        dispatch(move |py| {
            // Where it cannot be put, it is dropped, and its sender with it.
            if let Err(problem) = adapter.call_method1(py, "put", (question,)) {
                problem.write_unraisable(py, None);
            }
        });
        let answer = answer.await;
        waiting.answered();
        match answer {
            Ok((true, json)) => serde_json::from_str(&json).map_err(|problem| {
                let words = format!("the provider's answer is not a response: {problem}");
                Fault::new(FaultReason::InvalidOutput, words)
            }),
            Ok((false, report)) => Err(match Report::from_json(&report) {
                Ok(report) => report.into_provider_fault(credential),
                Err(error) => Fault::new(FaultReason::BadRequest, error.to_string()),
            }),
            Err(_) => {
                let words = "the provider was left without an answer";
                Err(Fault::new(FaultReason::BadRequest, words))
            }
        }
    }
}

fn told(request: &Request, credential: &Credential) -> String {
    json!({
        "request": request,
        "credential": {
            "id": credential.id(),
            "base_url": credential.base_url().map(|url| url.to_string()),
            "model": request.model.as_deref().or(credential.model()),
        },
    })
    .to_string()
}
