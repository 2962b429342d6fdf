//! Providers written in JavaScript: the core asks, the host answers.
//!
//! The question goes over by a weak threadsafe function, the answer comes back
//! through the desk. So Rust never touches the host's promise: `lib/provider.ts`
//! awaits it, whatever it is, and no callback can take the process down.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use credential_rotation::credential::Credential;
use credential_rotation::provider::{
    Fault, FaultReason, Patience, Provider, Request, Response, SharedProvider,
};
use credential_rotation::wrapper::Report;
use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::json;

use crate::desk::{Desk, Shared};

/// Number of the question, the request as JSON, the secret; without a request: never mind.
type Question = FnArgs<(u32, Option<String>, Option<String>)>;

type Asking = ThreadsafeFunction<Question, (), Question, napi::Status, false, true>;

/// A provider of the host's.
#[napi]
pub struct HostProvider(Arc<Host>);

struct Host {
    name: String,
    desk: Arc<Shared>,
    ask: Asking,
}

#[napi]
impl HostProvider {
    /// `ask` gets `(number, request, secret)` and answers at the desk; `(number)` alone
    /// says that nobody waits for the answer any more.
    #[napi(constructor)]
    pub fn new(
        desk: &Desk,
        name: String,
        #[napi(
            ts_arg_type = "(number: number, question?: string | null, secret?: string | null) => void"
        )]
        ask: Function<'_, Question, ()>,
    ) -> napi::Result<Self> {
        let ask = ask
            .build_threadsafe_function::<Question>()
            .weak::<true>()
            .build()?;
        Ok(Self(Arc::new(Host {
            name,
            desk: desk.shared(),
            ask,
        })))
    }
}

impl HostProvider {
    /// The provider for a wrapper.
    pub(crate) fn shared(&self) -> SharedProvider {
        Arc::new(Asked(Arc::clone(&self.0)))
    }
}

struct Asked(Arc<Host>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostProvider").field(&self.0.name).finish()
    }
}

#[async_trait]
impl Provider for Asked {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        _patience: Patience,
    ) -> Result<Response, Fault> {
        let (number, answer) = self.0.desk.ask();
        let _waiting = Waiting {
            host: &self.0,
            number,
        };
        let question = json!({
            "request": request,
            "credential": {
                "id": credential.id(),
                "base_url": credential.base_url().map(|url| url.to_string()),
                "model": request.model.as_deref().or(credential.model()),
            },
        });
        let secret = credential.secret().expose().to_owned();
        self.0.put(number, Some(question.to_string()), Some(secret));
        match answer.await {
            Ok(Ok(json)) => serde_json::from_str(&json).map_err(|problem| {
                Fault::new(
                    FaultReason::InvalidOutput,
                    format!("the provider's answer is not a response: {problem}"),
                )
            }),
            Ok(Err(report)) => Err(match Report::from_json(&report) {
                Ok(report) => report.into_provider_fault(credential),
                Err(error) => Fault::new(FaultReason::BadRequest, error.to_string()),
            }),
            Err(_) => Err(Fault::new(
                FaultReason::Crashed,
                "the provider's environment is gone",
            )),
        }
    }
}

/// Tells the host when its answer is not waited for any more.
struct Waiting<'a> {
    host: &'a Host,
    number: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.host.desk.withdraw(self.number) {
            self.host.put(self.number, None, None);
        }
    }
}

impl Host {
    fn put(&self, number: u32, request: Option<String>, secret: Option<String>) {
        // Fails only when the environment is gone; the answer then does not come,
        // and neither does anyone wait for it.
        let _ = self.ask.call(
            FnArgs::from((number, request, secret)),
            ThreadsafeFunctionCallMode::NonBlocking,
        );
    }
}
