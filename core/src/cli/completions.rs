//! What a shell completes: made from the same definition that parses the command line.

use clap::{Command, ValueEnum};
use clap_complete::{Shell as Script, generate};

use super::exit;
use super::shell::{Ended, Shell};

/// A shell that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of a program.
pub(super) fn print(mut command: Command, of: CompletionShell, shell: &mut Shell<'_>) -> Ended {
    let script = match of {
        CompletionShell::Bash => Script::Bash,
        CompletionShell::Zsh => Script::Zsh,
        CompletionShell::Fish => Script::Fish,
    };
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(script, &mut command, name, &mut text);
    shell.out.write_all(&text)?;
    shell.out.flush()?;
    Ok(exit::OK)
}
