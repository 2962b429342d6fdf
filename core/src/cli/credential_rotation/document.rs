//! `document`: the text of a file.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use serde_json::json;

use crate::cli::exit;
use crate::cli::shell::{Ended, Shell};
use crate::document::{self, Limits};
use crate::error::Error;

#[derive(Debug, Args)]
pub(super) struct Document {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the text of a PDF, Markdown or plain text file
    Text(Text),
}

#[derive(Debug, Args)]
struct Text {
    /// The file; `-` reads it from standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Only the first so many pages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_pages: Option<u32>,
}

impl Document {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let Action::Text(text) = self.action;
        let limits = Limits {
            max_pages: text.max_pages,
            ..Limits::default()
        };
        let read = if text.file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            let most = limits.max_bytes.saturating_add(1);
            (&mut *shell.input).take(most).read_to_end(&mut bytes)?;
            document::read(&bytes, None, &limits)
        } else {
            document::read_path(&text.file, &limits)
        };
        let document = read.map_err(Error::from)?;
        for warning in &document.warnings {
            shell.note(&format!("warning: {warning}"));
        }
        if as_json {
            shell.say_json(&json!(document))?;
        } else {
            shell.say(&document.text())?;
        }
        Ok(exit::OK)
    }
}
