//! A worker whose handlers are those of a module: the core knows all of it but how the
//! module's language is spoken.

use super::plan::Plan;
use super::run::run;
use super::signals::Signals;
use crate::cli::shell::{Ended, Shell};
use crate::config::invalid;
use crate::job::worker::{Handlers, Worker};

/// A worker of which only the handlers are missing.
///
/// Whoever embeds the program loads [`AppWorker::module`], and then either has it run with
/// the handlers that are found there, or says what is wrong with the module.
#[derive(Debug)]
pub struct AppWorker {
    app: String,
    plan: Plan,
    as_json: bool,
    signals: Option<Signals>,
}

/// Why a module gives no handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppProblem {
    /// It cannot be loaded.
    NotLoaded {
        /// Why, in one line.
        problem: String,
        /// Where in the module, for whoever wrote it.
        trace: Option<String>,
    },
    /// It has so many `Handlers` that may be meant, and not one.
    NotOne(usize),
}

impl AppWorker {
    pub(super) fn new(app: &str, plan: Plan, as_json: bool) -> Self {
        let app = app.to_owned();
        Self {
            app,
            plan,
            as_json,
            signals: None,
        }
    }

    /// The module to load.
    #[must_use]
    pub fn module(&self) -> &str {
        split(&self.app).0
    }

    /// What its handlers are called there. Without, there must be one `Handlers` in it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        split(&self.app).1
    }

    /// Hears signals from now on, and not only once it runs: for a host that keeps them from
    /// ending the process. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// The system's, when it has no room for another listener.
    pub fn listen(&mut self) -> std::io::Result<()> {
        self.signals = Some(Signals::listen()?);
        Ok(())
    }

    /// Runs jobs with these handlers until a signal, over the process's streams, and gives
    /// the exit code. `begun` gets the worker before its first job.
    ///
    /// Blocks, on a runtime of its own: it is for a thread that no other work waits for.
    pub fn run(self, handlers: Handlers, begun: impl FnOnce(&Worker)) -> u8 {
        run(self.plan, handlers, begun, self.as_json, self.signals)
    }

    /// Says that there is nothing to run, and gives the exit code.
    #[must_use]
    pub fn refuse(self, problem: &AppProblem) -> u8 {
        let words = match problem {
            AppProblem::NotLoaded { problem, .. } => problem.clone(),
            AppProblem::NotOne(count) => {
                format!("it has {count} `Handlers`: let it have one, or name one as MODULE:NAME")
            }
        };
        Shell::of_process(|shell| {
            if let AppProblem::NotLoaded {
                trace: Some(trace), ..
            } = problem
            {
                shell.aside(trace);
            }
            shell.end(self.refused(&words), self.as_json)
        })
    }

    /// The same where modules of no language are run.
    pub(in crate::cli) fn refuse_without_host(&self, shell: &mut Shell<'_>) -> u8 {
        let words = "this program runs commands only: for a Python or Node module use the one that pip or npm installs";
        shell.end(self.refused(words), self.as_json)
    }

    fn refused(&self, words: &str) -> Ended {
        Err(invalid(&format!("--app {}", self.app), &words).into())
    }
}

/// The module and what its handlers are called there. A colon may also be a path's.
fn split(app: &str) -> (&str, Option<&str>) {
    let is_name = |text: &str| {
        let inner = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        text.starts_with(|c: char| !c.is_numeric()) && text.chars().all(inner)
    };
    match app.rsplit_once(':') {
        Some((module, name)) if !module.is_empty() && is_name(name) => (module, Some(name)),
        _ => (app, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_behind_the_last_colon() {
        let rows = [
            ("tasks", "tasks", None),
            ("app.tasks:shout", "app.tasks", Some("shout")),
            ("./a:b/tasks.mjs", "./a:b/tasks.mjs", None),
            ("./a:b/tasks.mjs:$tasks", "./a:b/tasks.mjs", Some("$tasks")),
            ("tasks:1", "tasks:1", None),
            ("tasks:", "tasks:", None),
            (":tasks", ":tasks", None),
        ];
        for (app, module, name) in rows {
            assert_eq!(split(app), (module, name), "{app}");
        }
    }
}
