//! The shell programs as npm installs them: the core's, with handlers of Node modules.

use std::ffi::{OsStr, OsString};

use credential_rotation::cli::{self, AppProblem, Program};
use napi::bindgen_prelude::Either;
use napi_derive::napi;
use parking_lot::Mutex;

/// A worker of a command line, which lacks the handlers of its module.
#[napi]
pub struct AppWorker {
    module: String,
    name: Option<String>,
    /// None once it was run or refused.
    worker: Mutex<Option<cli::AppWorker>>,
}

/// Runs the program named by `argv[0]`; gives its exit code, or the worker that is to have
/// its module loaded.
#[napi]
pub(crate) fn run_cli(argv: Vec<String>) -> Either<u8, AppWorker> {
    let named = argv
        .first()
        .and_then(|word| Program::named(OsStr::new(word)));
    let program = named.unwrap_or(Program::CredentialRotation);
    match cli::begin(program, argv.into_iter().map(OsString::from)) {
        cli::Begun::Ended(code) => Either::A(code),
        cli::Begun::App(worker) => Either::B(AppWorker {
            module: worker.module().to_owned(),
            name: worker.name().map(str::to_owned),
            worker: Mutex::new(Some(worker)),
        }),
    }
}

#[napi]
impl AppWorker {
    /// The module to load.
    #[napi(getter)]
    pub fn module(&self) -> String {
        self.module.clone()
    }

    /// What its handlers are called there, if that was said.
    #[napi(getter)]
    pub fn name(&self) -> Option<String> {
        self.name.clone()
    }

    /// Says that the module cannot be loaded; gives the exit code.
    #[napi]
    pub fn refuse(&self, problem: String, trace: Option<String>) -> napi::Result<u8> {
        let problem = AppProblem::NotLoaded { problem, trace };
        Ok(self.take()?.refuse(&problem))
    }

    /// Says that the module has so many handlers, and not one; gives the exit code.
    #[napi]
    pub fn refuse_count(&self, count: u32) -> napi::Result<u8> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.take()?.refuse(&AppProblem::NotOne(count)))
    }
}

impl AppWorker {
    /// The core's, to be run.
    pub(crate) fn take(&self) -> napi::Result<cli::AppWorker> {
        let taken = self.worker.lock().take();
        taken.ok_or_else(|| napi::Error::from_reason("this worker has run"))
    }
}
