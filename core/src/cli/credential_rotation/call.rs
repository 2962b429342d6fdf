//! `call PROMPT|-`: asks through the wrapper that the configuration describes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::configuration::{Configuration, refuse_beside};
use crate::cli::seconds::{LONGEST_ATTEMPT, milliseconds};
use crate::cli::shell::{Ended, Shell};
use crate::cli::{answer, prompt};
use crate::error::Error;
use crate::provider::Request;
use crate::wrapper::WrapperOptions;

#[derive(Debug, Args)]
pub(super) struct Call {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT|-")]
    prompt: OsString,
    /// The model, whatever the configuration says; fallbacks keep theirs
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// How long one attempt may take [default: 120]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Retries after the first attempt [default: 5]
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    #[command(flatten)]
    configuration: Configuration,
    /// Without a configuration file: the endpoint, for keys that name none
    #[arg(long, value_name = "URL", conflicts_with = "config", value_hint = ValueHint::Url)]
    base_url: Option<String>,
    /// Without a configuration file: the program of a CLI provider, when it is not on PATH
    #[arg(long, value_name = "PATH", conflicts_with = "config", value_hint = ValueHint::ExecutablePath)]
    program: Option<PathBuf>,
}

impl Call {
    pub(super) fn run(mut self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let text = prompt::read(&self.prompt, shell.input)?;
        let request = Request {
            model: self.model.take(),
            ..Request::prompt(text)
        };
        let wrapper = self.options()?.build()?;
        answer::show(wrapper.complete(request), as_json, shell)
    }

    fn options(self) -> Result<WrapperOptions, Error> {
        let (mut options, file) = self.configuration.options()?;
        if let Some(file) = &file {
            refuse_beside(file, "--base-url", self.base_url.is_some())?;
            refuse_beside(file, "--program", self.program.is_some())?;
        }
        options.base_url = self.base_url.or(options.base_url);
        options.program = self.program.or(options.program);
        options.max_retries = self.max_retries.or(options.max_retries);
        if let Some(seconds) = self.timeout {
            options.attempt_timeout_ms = milliseconds("--timeout", seconds, LONGEST_ATTEMPT)?;
            // An attempt that is allowed that long must not be cut by the call's own end.
            options.deadline_ms = options.deadline_ms.max(options.attempt_timeout_ms);
        }
        Ok(options)
    }
}
