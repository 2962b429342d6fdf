//! Which configuration a command goes by: the file named, the one in the working
//! folder, or none and the usual places.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::config::{self, FILE_NAME, invalid};
use crate::error::Error;
use crate::wrapper::WrapperOptions;

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct Configuration {
    /// The configuration file [default: credential-rotation.toml, where there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Without a configuration file: whom to ask [default: openai]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    provider: Option<String>,
}

impl Configuration {
    /// The options, and a name of their place for errors.
    pub(super) fn options(self) -> Result<(WrapperOptions, Option<PathBuf>), Error> {
        let file = self.config.or_else(|| is_there(Path::new(FILE_NAME)));
        let Some(file) = file else {
            let mut options: WrapperOptions = config::from_environment("wrapper")?;
            options.provider = self.provider.unwrap_or(options.provider);
            return Ok((options, None));
        };
        refuse_beside(&file, "--provider", self.provider.is_some())?;
        Ok((WrapperOptions::from_file(&file)?, Some(file)))
    }
}

/// Refuses an option that would send a file's keys elsewhere than the file says.
pub(super) fn refuse_beside(file: &Path, option: &str, given: bool) -> Result<(), Error> {
    if !given {
        return Ok(());
    }
    Err(invalid(
        option,
        &format!(
            "{} says whom to ask: change it there, or leave the option out",
            file.display()
        ),
    ))
}

// A file that is there and cannot be read is told, not passed over.
fn is_there(file: &Path) -> Option<PathBuf> {
    match std::fs::symlink_metadata(file) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => None,
        _ => Some(file.to_owned()),
    }
}
