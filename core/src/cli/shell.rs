//! What a program has around it: its streams, and whether people look at them.

use std::io::{self, IsTerminal, Read, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};

use super::exit;
use super::patient::patient;
use crate::error::Error;
use crate::job::JobError;

/// The streams of a program. Tests give their own.
pub struct Shell<'a> {
    /// Where a prompt named `-` is read from.
    pub input: &'a mut dyn Read,
    /// Where results go.
    pub out: &'a mut dyn Write,
    /// Where errors go.
    pub err: &'a mut dyn Write,
    /// Whether results are read by people.
    pub out_is_terminal: bool,
    /// Whether errors are read by people; then a spinner turns there.
    pub err_is_terminal: bool,
    /// Whether colours are wanted on a terminal.
    pub colours: bool,
}

/// Why a program ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something to tell.
    Error(Error),
    /// An output that cannot be written.
    Output(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Error(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(problem: io::Error) -> Self {
        Self::Output(problem)
    }
}

/// The exit code of an action, or why it ended early.
pub(super) type Ended = Result<u8, Stop>;

impl Shell<'_> {
    /// The process's own streams, handed to `work`.
    pub(super) fn of_process<T>(work: impl FnOnce(&mut Shell<'_>) -> T) -> T {
        let (mut input, out, err) = (io::stdin(), io::stdout(), io::stderr());
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        work(&mut Shell {
            out_is_terminal: out.is_terminal(),
            err_is_terminal: err.is_terminal(),
            colours: !set("NO_COLOR") && !dumb,
            input: &mut input,
            out: &mut patient(out),
            err: &mut patient(err),
        })
    }

    /// Writes text of ours or of an endpoint, for people. A terminal gets no control characters.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Stop> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        if self.out_is_terminal {
            write!(self.out, "{}{end}", printable(text))?;
        } else {
            write!(self.out, "{text}{end}")?;
        }
        Ok(self.out.flush()?)
    }

    /// Writes a line of ours that ends in text that has its colour already.
    pub(super) fn say_coloured(&mut self, text: &str, coloured: &str) -> Result<(), Stop> {
        let text = if self.out_is_terminal {
            printable(text)
        } else {
            text.to_owned()
        };
        writeln!(self.out, "{text}{coloured}")?;
        Ok(self.out.flush()?)
    }

    /// Tells people something beside the results.
    pub(super) fn note(&mut self, text: &str) {
        // Nothing can be done when that fails.
        let _ = writeln!(self.err, "{}", one_line(text));
        let _ = self.err.flush();
    }

    /// Tells people something of several lines beside the results.
    pub(super) fn aside(&mut self, text: &str) {
        // Nothing can be done when that fails.
        let _ = writeln!(self.err, "{}", printable(text.trim_end()));
        let _ = self.err.flush();
    }

    /// Writes a result as one line of JSON.
    pub(super) fn say_json(&mut self, value: &Value) -> Result<(), Stop> {
        writeln!(self.out, "{value}")?;
        Ok(self.out.flush()?)
    }

    /// Text in a colour, where colours are wanted and results are read by people.
    pub(super) fn tint(&self, colour: AnsiColor, text: &str) -> String {
        if self.out_is_terminal && self.colours {
            coloured(colour, text)
        } else {
            text.to_owned()
        }
    }

    /// Tells why the program ends, and gives its exit code.
    pub(super) fn end(&mut self, ended: Ended, as_json: bool) -> u8 {
        match ended {
            Ok(code) => code,
            Err(Stop::Error(error)) => {
                if as_json {
                    let told = json!({ "success": false, "error": error.to_json() });
                    let _ = self.say_json(&told);
                }
                self.complain(&error.to_string());
                exit::code_of(&error)
            }
            // Who reads has enough.
            Err(Stop::Output(problem)) if problem.kind() == io::ErrorKind::BrokenPipe => exit::OK,
            Err(Stop::Output(problem)) => {
                self.complain(&format!("cannot write the result: {problem}"));
                exit::STATE
            }
        }
    }

    /// `error: <message>`, on one line.
    pub(super) fn complain(&mut self, message: &str) {
        let label = if self.err_is_terminal && self.colours {
            coloured(AnsiColor::Red, "error:")
        } else {
            "error:".to_owned()
        };
        // Nothing can be done when that fails.
        let _ = writeln!(self.err, "{label} {}", one_line(message));
        let _ = self.err.flush();
    }
}

/// Text without what makes a terminal do things.
fn printable(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.replace("\r\n", "\n").chars().map(plain).collect()
}

/// Text of an endpoint for a row or a message: no control characters, no line ends.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn coloured(colour: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stop: Stop, as_json: bool) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = Shell {
            input: &mut io::empty(),
            out: &mut out,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        }
        .end(Err(stop), as_json);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(err))
    }

    #[test]
    fn an_error_is_one_line_on_stderr_and_with_json_an_object_on_stdout() {
        let (code, out, err) = ended(Error::EmptyPrompt.into(), false);
        assert_eq!((code, out.as_str()), (exit::BAD_INPUT, ""));
        assert!(err.starts_with("error: the prompt is empty"), "{err}");
        let (_, out, _) = ended(Error::EmptyPrompt.into(), true);
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["success"], false);
        assert_eq!(told["error"]["code"], "empty_prompt");
    }

    #[test]
    fn a_reader_that_has_enough_is_no_failure_and_a_full_disk_is_one() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(
            ended(pipe.into(), false),
            (exit::OK, String::new(), String::new())
        );
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(ended(full.into(), false).0, exit::STATE);
    }

    #[test]
    fn what_an_endpoint_says_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\nc\td"), "a\u{fffd}[31mb\nc\td");
        assert_eq!(one_line("a\x1b[2J\nb"), "a [2J b");
    }
}
