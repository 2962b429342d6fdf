//! The wrapper: calls that come to an outcome, and the way into streams and rotations.

use std::path::PathBuf;
use std::time::Duration;

use credential_rotation::config;
use credential_rotation::provider::Request;
use credential_rotation::wrapper::{self, Ask, WrapperOptions};
use pyo3::prelude::*;

use crate::asker::Asker;
use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::outcome::Outcome;
use crate::pool::CredentialPool;
use crate::provider::HostProvider;
use crate::rotation::Rotation;
use crate::stream::AnswerStream;
use crate::wait::block_on;

/// Calls a model through a pool of credentials.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Wrapper {
    core: wrapper::Wrapper,
    /// Whether a provider written in Python wants to know who asks.
    hosted: bool,
}

#[pymethods]
impl Wrapper {
    /// From options as JSON, with a provider or a pool of the host's in their place.
    #[staticmethod]
    #[pyo3(signature = (options, provider=None, pool=None))]
    fn from_json(
        py: Python<'_>,
        options: &str,
        provider: Option<&HostProvider>,
        pool: Option<&CredentialPool>,
    ) -> PyResult<Self> {
        let hosted = provider.is_some();
        let provider = provider.map(HostProvider::shared);
        let pool = pool.map(CredentialPool::core);
        let built = WrapperOptions::from_json(options).and_then(|o| o.build_with(provider, pool));
        let core = built.map_err(|error| raised(py, &error))?;
        Ok(Self { core, hosted })
    }

    /// From the `[wrapper]` table of a configuration file.
    #[staticmethod]
    fn from_config(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let built = WrapperOptions::from_file(&path).and_then(WrapperOptions::build);
        built.map(Self::over).map_err(|error| raised(py, &error))
    }

    /// Asks with one user message.
    #[pyo3(signature = (prompt, deadline_ms=None))]
    fn call(&self, py: Python<'_>, prompt: String, deadline_ms: Option<u64>) -> PyResult<Outcome> {
        self.perform(py, Request::prompt(prompt), deadline_ms)
    }

    /// The same from a coroutine; the outcome comes under `number`.
    #[pyo3(signature = (desk, number, prompt, deadline_ms=None))]
    fn acall(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        prompt: String,
        deadline_ms: Option<u64>,
    ) -> PyResult<Task> {
        self.submit(py, desk, number, Request::prompt(prompt), deadline_ms)
    }

    /// Asks with a request as JSON.
    #[pyo3(signature = (request, deadline_ms=None))]
    fn complete(
        &self,
        py: Python<'_>,
        request: &str,
        deadline_ms: Option<u64>,
    ) -> PyResult<Outcome> {
        self.perform(py, read(py, request)?, deadline_ms)
    }

    /// The same from a coroutine.
    #[pyo3(signature = (desk, number, request, deadline_ms=None))]
    fn acomplete(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        request: &str,
        deadline_ms: Option<u64>,
    ) -> PyResult<Task> {
        self.submit(py, desk, number, read(py, request)?, deadline_ms)
    }

    /// The answer as it comes. Nothing is sent before the first piece is asked for.
    fn stream(&self, py: Python<'_>, request: &str) -> PyResult<AnswerStream> {
        let answer = self.core.stream(read(py, request)?);
        Ok(AnswerStream::new(answer, self.hosted))
    }

    /// A call's way through the pool, for client code of the user's.
    fn rotation(&self, py: Python<'_>, ask: &str) -> PyResult<Rotation> {
        let rotation = Ask::from_json(ask).and_then(|ask| self.core.rotation(ask));
        rotation
            .map(Rotation::new)
            .map_err(|error| raised(py, &error))
    }

    /// The pool of the first target.
    fn pool(&self) -> CredentialPool {
        CredentialPool::over(self.core.pool().clone())
    }

    /// Refuses further calls.
    fn close(&self) {
        self.core.close();
    }
}

impl Wrapper {
    /// Over one of the core's.
    pub(crate) fn over(core: wrapper::Wrapper) -> Self {
        let hosted = false;
        Self { core, hosted }
    }

    pub(crate) fn core(&self) -> wrapper::Wrapper {
        self.core.clone()
    }

    pub(crate) fn hosted(&self) -> bool {
        self.hosted
    }

    fn perform(
        &self,
        py: Python<'_>,
        request: Request,
        deadline_ms: Option<u64>,
    ) -> PyResult<Outcome> {
        let asker = asker(py, self.hosted, None)?;
        let asked = ask(self.core.clone(), request, deadline_ms);
        block_on(py, Asker::behind(asker, asked)).map(Outcome::of)
    }

    fn submit(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        request: Request,
        deadline_ms: Option<u64>,
    ) -> PyResult<Task> {
        let asker = asker(py, self.hosted, Some(desk))?;
        let asked = ask(self.core.clone(), request, deadline_ms);
        let asked = Asker::behind(asker, asked);
        desk.submit(py, number, async { Reply::Outcome(Box::new(asked.await)) })
    }
}

/// Who asks, where a provider wants to know; the loop is the desk's.
pub(crate) fn asker(py: Python<'_>, hosted: bool, desk: Option<&Desk>) -> PyResult<Option<Asker>> {
    let here = || Asker::here(py, desk.map(Desk::event_loop));
    hosted.then(here).transpose()
}

async fn ask(
    wrapper: wrapper::Wrapper,
    request: Request,
    deadline_ms: Option<u64>,
) -> wrapper::Outcome {
    match deadline_ms {
        Some(deadline) => {
            wrapper
                .complete_within(request, Duration::from_millis(deadline))
                .await
        }
        None => wrapper.complete(request).await,
    }
}

fn read(py: Python<'_>, request: &str) -> PyResult<Request> {
    config::from_json(request, "the request").map_err(|error| raised(py, &error))
}
