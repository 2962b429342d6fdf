//! The wrapper: calls that come to an outcome, and the way into streams and rotations.

use std::path::Path;

use credential_rotation::provider::Request;
use credential_rotation::wrapper::{self, Ask, WrapperOptions};
use credential_rotation::{Error, config};
use napi_derive::napi;

use crate::desk::Desk;
use crate::errors::{Thrown, thrown};
use crate::pool::{CredentialPool, duration};
use crate::provider::HostProvider;
use crate::rotation::Rotation;
use crate::stream::AnswerStream;

/// Calls a model through a pool of credentials.
#[napi]
pub struct Wrapper(wrapper::Wrapper);

#[napi]
impl Wrapper {
    /// From options as JSON, with a provider or a pool of the host's in their place.
    #[napi(factory)]
    pub fn from_json(
        options: String,
        provider: Option<&HostProvider>,
        pool: Option<&CredentialPool>,
    ) -> Result<Self, Thrown> {
        let options = WrapperOptions::from_json(&options).map_err(|error| thrown(&error))?;
        Self::build(options, provider, pool)
    }

    /// From the `[wrapper]` table of a configuration file.
    #[napi(factory)]
    pub fn from_config(path: String) -> Result<Self, Thrown> {
        let options =
            WrapperOptions::from_file(Path::new(&path)).map_err(|error| thrown(&error))?;
        Self::build(options, None, None)
    }

    /// Asks with one user message, perhaps with a deadline of its own; the outcome
    /// comes under `number`.
    #[napi]
    pub fn call(
        &self,
        desk: &Desk,
        number: u32,
        prompt: String,
        deadline_ms: Option<f64>,
    ) -> napi::Result<()> {
        self.perform(desk, number, Request::prompt(prompt), deadline_ms)
    }

    /// The same with a request as JSON.
    #[napi]
    pub fn complete(
        &self,
        desk: &Desk,
        number: u32,
        request: String,
        deadline_ms: Option<f64>,
    ) -> napi::Result<()> {
        match request_from_json(&request) {
            Ok(request) => self.perform(desk, number, request, deadline_ms),
            Err(error) => desk.shared().submit(number, async { Err(error) }),
        }
    }

    /// The answer as it comes. Nothing is sent before the first piece is asked for.
    #[napi]
    pub fn stream(&self, request: String) -> Result<AnswerStream, Thrown> {
        let request = request_from_json(&request).map_err(|error| thrown(&error))?;
        Ok(AnswerStream::new(self.0.stream(request)))
    }

    /// A call's way through the pool, for client code of the host's.
    #[napi]
    pub fn rotation(&self, ask: String) -> Result<Rotation, Thrown> {
        let rotation = Ask::from_json(&ask).and_then(|ask| self.0.rotation(ask));
        rotation.map(Rotation::new).map_err(|error| thrown(&error))
    }

    /// The pool of the first target.
    #[napi]
    pub fn pool(&self) -> CredentialPool {
        CredentialPool::over(self.0.pool().clone())
    }

    /// Refuses further calls.
    #[napi]
    pub fn close(&self) {
        self.0.close();
    }
}

impl Wrapper {
    /// Over one of the core's.
    pub(crate) fn over(wrapper: wrapper::Wrapper) -> Self {
        Self(wrapper)
    }

    pub(crate) fn core(&self) -> wrapper::Wrapper {
        self.0.clone()
    }

    fn build(
        options: WrapperOptions,
        provider: Option<&HostProvider>,
        pool: Option<&CredentialPool>,
    ) -> Result<Self, Thrown> {
        let provider = provider.map(HostProvider::shared);
        let pool = pool.map(CredentialPool::core);
        let wrapper = options.build_with(provider, pool);
        wrapper.map(Self).map_err(|error| thrown(&error))
    }

    fn perform(
        &self,
        desk: &Desk,
        number: u32,
        request: Request,
        deadline_ms: Option<f64>,
    ) -> napi::Result<()> {
        let wrapper = self.0.clone();
        desk.shared().submit(number, async move {
            let outcome = match deadline_ms.map(duration) {
                Some(deadline) => wrapper.complete_within(request, deadline).await,
                None => wrapper.complete(request).await,
            };
            Ok(outcome.to_json_text())
        })
    }
}

fn request_from_json(json: &str) -> Result<Request, Error> {
    config::from_json(json, "the request")
}
