//! `call PROMPT|-`: asks through the wrapper that the configuration describes.

use std::ffi::OsString;

use clap::Args;

use super::Configuration;
use crate::cli::shell::{Ended, Shell};
use crate::cli::{answer, prompt};

#[derive(Debug, Args)]
pub(super) struct Call {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT|-")]
    prompt: OsString,
    #[command(flatten)]
    configuration: Configuration,
}

impl Call {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let text = prompt::read(&self.prompt, shell.input)?;
        let wrapper = self.configuration.options()?.build()?;
        answer::show(wrapper.call(text), as_json, shell)
    }
}
