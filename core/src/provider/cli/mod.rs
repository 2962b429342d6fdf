//! Programs that ask a model: qwen, gemini, codex, claude, each described by data.
//!
//! A run has a private home, an empty folder to work in, a process group of its
//! own and the prompt on stdin. What it came to is judged by what it printed.

mod home;
mod judge;
pub(crate) mod process;
mod profile;
mod prompt;
mod reading;
mod relay;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

#[cfg(feature = "cli")]
pub(crate) use process::wait_for_groups;
pub use profile::{AccountAuth, CliProfile, KeyAuth, OutputFormat, PROFILES};

use self::home::Home;
use self::judge::Ended;
use self::process::{Finished, Inherits, Run};
use self::relay::Relay;
use super::http::{ErrorFacts, HttpClient, parse_base_url};
use super::{Fault, FaultReason, Patience, Provider, Request, Response};
use crate::clock::{Clock, SystemClock};
use crate::credential::{Credential, Secret};
use crate::error::Error;

/// The longest prompt that programs read from stdin, in bytes: qwen cuts there.
pub const STDIN_LIMIT: usize = 8 * 1024 * 1024;

/// Asks a model through a program.
#[derive(Debug)]
pub struct CliProvider {
    profile: Arc<CliProfile>,
    program: PathBuf,
    base_url: Option<Url>,
    client: Arc<HttpClient>,
}

impl CliProvider {
    /// Finds the profile's program on PATH.
    ///
    /// # Errors
    /// [`Error::CliNotFound`].
    pub fn new(profile: CliProfile) -> Result<Self, Error> {
        let program = PathBuf::from(&profile.program);
        Self::with_program(profile, program)
    }

    /// The provider of one of the [`PROFILES`], its program found on PATH.
    ///
    /// # Errors
    /// [`Error::UnknownProvider`], [`Error::CliNotFound`].
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let profile = CliProfile::named(name).ok_or_else(|| Error::UnknownProvider {
            name: name.to_owned(),
            known: PROFILES.join(", "),
        })?;
        Self::new(profile)
    }

    /// Takes this program, by path or by a name on PATH.
    ///
    /// # Errors
    /// [`Error::CliNotFound`].
    pub fn with_program(profile: CliProfile, program: impl AsRef<Path>) -> Result<Self, Error> {
        let given = program.as_ref();
        let program = process::find(given).ok_or_else(|| Error::CliNotFound {
            program: given.display().to_string(),
            remedy: profile.install.clone(),
        })?;
        // Runs have a working folder of their own.
        let program = std::path::absolute(&program).unwrap_or(program);
        Ok(Self {
            profile: Arc::new(profile),
            program,
            base_url: None,
            client: Arc::default(),
        })
    }

    /// The endpoint for keys that name none.
    #[must_use]
    pub fn with_base_url(mut self, url: Url) -> Self {
        self.base_url = Some(url);
        self
    }

    /// What is run.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn endpoint(&self, credential: &Credential) -> Option<Url> {
        let given = credential.base_url().map(std::borrow::Cow::into_owned);
        let usual = || parse_base_url(self.profile.key.usual_url.as_deref()?).ok();
        given.or_else(|| self.base_url.clone()).or_else(usual)
    }

    async fn relay(&self, credential: &Credential) -> Result<Option<Relay>, Fault> {
        let relayed = credential.oauth().is_none() && self.profile.key.base_url.is_some();
        let Some(base) = relayed.then(|| self.endpoint(credential)).flatten() else {
            return Ok(None);
        };
        let opened = Relay::open(Arc::clone(&self.client), base, credential.secret()).await;
        opened
            .map(Some)
            .map_err(|problem| crashed(format!("cannot open a relay: {problem}")))
    }

    async fn home(&self, credential: &Credential) -> Result<Home, Fault> {
        let profile = Arc::clone(&self.profile);
        let account = credential.oauth().map(|account| account.file().to_owned());
        let made = tokio::task::spawn_blocking(move || match account {
            Some(file) => Home::for_account(&profile, &file),
            None => Home::for_key(&profile),
        });
        made.await.map_err(|_| crashed("interrupted".to_owned()))?
    }

    fn plan(
        &self,
        request: &Request,
        stdin: String,
        credential: &Credential,
        home: &Home,
        relay: Option<&Relay>,
    ) -> Run {
        let profile = &self.profile;
        let mut env = profile.env.clone();
        let mut args = Vec::new();
        let path = home.path.display().to_string();
        env.push(("HOME".to_owned(), path.clone()));
        env.extend(
            profile
                .account
                .home
                .iter()
                .map(|(name, value)| (name.clone(), value.replace("{home}", &path))),
        );
        let model = request.model.as_deref().or(credential.model());
        if credential.oauth().is_some() {
            args.extend_from_slice(&profile.account.args);
        } else {
            args.extend_from_slice(&profile.key.args);
            let key = relay.map_or_else(
                || credential.secret().expose().to_owned(),
                |relay| relay.pass().to_owned(),
            );
            env.push((profile.key.key.clone(), key));
            if let (Some(name), Some(relay)) = (&profile.key.base_url, relay) {
                env.push((name.clone(), relay.url().to_owned()));
            }
            if let (Some(name), Some(model)) = (&profile.key.model, model) {
                env.push((name.clone(), model.to_owned()));
            }
        }
        // Behind the others: some programs have a verb among them, and options of it.
        args.extend_from_slice(&profile.args);
        if let Some(model) = model {
            args.extend(
                profile
                    .model_args
                    .iter()
                    .map(|arg| arg.replace("{model}", model)),
            );
        }
        Run {
            program: self.program.clone(),
            args,
            env,
            inherits: if relay.is_some() {
                Inherits::Little
            } else {
                Inherits::Network
            },
            folder: Some(home.work.clone()),
            stdin: stdin.into_bytes(),
        }
    }

    /// A fault's texts are cut, and half a key at the cut would not be found
    /// afterwards: so what a fault is told from goes without the secret before.
    fn judge(&self, mut finished: Finished, secret: &Secret) -> Result<Response, Fault> {
        let fault = match self.read(&finished) {
            Ok(response) => return Ok(response),
            Err(fault) => fault,
        };
        let Ok(stdout) = String::from_utf8(std::mem::take(&mut finished.stdout)) else {
            return Err(fault);
        };
        let said = ErrorFacts {
            body: Some(stdout),
            message: Some(std::mem::take(&mut finished.stderr)),
            ..ErrorFacts::default()
        }
        .without(secret);
        finished.stdout = said.body.unwrap_or_default().into_bytes();
        finished.stderr = said.message.unwrap_or_default();
        Err(self.read(&finished).err().unwrap_or(fault))
    }

    fn read(&self, finished: &Finished) -> Result<Response, Fault> {
        let (profile, now) = (&*self.profile, SystemClock.now());
        if finished.overflowed {
            let limit = process::STDOUT_LIMIT;
            let words = format!("`{}` printed over {limit} bytes", profile.program);
            return Err(Fault::new(FaultReason::InvalidOutput, words));
        }
        let ended = Ended {
            code: finished.status.and_then(|status| status.code()),
            stdout: &finished.stdout,
            stderr: &finished.stderr,
        };
        match finished.status {
            Some(_) => judge::judge(profile, ended, now),
            None => {
                // Its last line is the one that ended the wait.
                let line = finished.stderr.lines().next_back().unwrap_or_default();
                Err(judge::fault_of(profile, line, ended, now))
            }
        }
    }
}

#[async_trait]
impl Provider for CliProvider {
    fn name(&self) -> &str {
        &self.profile.name
    }

    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        patience: Patience,
    ) -> Result<Response, Fault> {
        let too_large = || {
            let words = format!(
                "`{}` reads at most {STDIN_LIMIT} bytes",
                self.profile.program
            );
            Fault::new(FaultReason::TooLarge, words)
        };
        // Before it is written out, and after: that adds who said what.
        if request.text_bytes() > STDIN_LIMIT {
            return Err(too_large());
        }
        let stdin = prompt::render(request);
        if stdin.len() > STDIN_LIMIT {
            return Err(too_large());
        }
        // An account has another secret once its token is refreshed.
        let secret = credential.secret();
        let home = self.home(credential).await?;
        let relay = self.relay(credential).await?;
        let run = self.plan(request, stdin, credential, &home, relay.as_ref());
        let profile = Arc::clone(&self.profile);
        let running = process::run(run, move |line| profile.is_hopeless(line), Box::new(home));
        let refused = async {
            match &relay {
                Some(relay) => relay.refusal().await,
                None => std::future::pending().await,
            }
        };
        let limit = patience.attempt;
        let result = tokio::select! {
            biased;
            fault = refused => Err(fault),
            finished = running => match finished {
                Ok(finished) => self.judge(finished, &secret),
                Err(problem) => Err(crashed(format!("cannot run {}: {problem}", self.program.display()))),
            },
            () = tokio::time::sleep(limit) => Err(Fault::new(
                FaultReason::Timeout,
                format!("`{}` gave no answer within {} ms", self.profile.program, limit.as_millis()),
            )),
        };
        let result = match (result, relay.as_ref().and_then(Relay::first_refusal)) {
            // What the endpoint said is truer than what the program made of it.
            (Err(_), Some(refusal)) => Err(refusal),
            (result, _) => result,
        };
        if let Some(account) = credential.oauth() {
            let account = Arc::clone(account);
            let _ = tokio::task::spawn_blocking(move || account.reread()).await;
        }
        result.map_err(|fault| fault.without(&secret).without(&credential.secret()))
    }
}

fn crashed(problem: String) -> Fault {
    Fault::new(FaultReason::Crashed, problem)
}
