//! What a worker shows: a line for each attempt that ended, and on a terminal, below
//! those, how much each queue has under way.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::builder::styling::AnsiColor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::shell::{Shell, Stop, one_line};
use crate::job::worker::{AttemptEnd, WorkerReport};

const TURN: Duration = Duration::from_millis(200);

/// What there is to show.
pub(super) enum Told {
    /// A handler runs for a job of that queue.
    Began(String),
    /// It runs no more.
    Over(String),
    /// What came of an attempt is known.
    Ended(Ended),
}

/// An attempt that has ended.
pub(super) struct Ended {
    queue: String,
    id: String,
    attempt: u32,
    outcome: &'static str,
    failure: Option<String>,
    took: Duration,
}

impl Ended {
    pub(super) fn of(end: &AttemptEnd<'_>) -> Self {
        Self {
            queue: end.lease.queue.to_string(),
            id: end.lease.id.to_string(),
            attempt: end.attempt,
            outcome: end.outcome,
            failure: end.failure.map(|failure| failure.message.clone()),
            took: end.took,
        }
    }

    fn line(&self) -> (AnsiColor, String) {
        let failure = self.failure.as_deref().unwrap_or_default();
        match self.outcome {
            "completed" => (AnsiColor::Green, "done".to_owned()),
            "failed" => (AnsiColor::Red, format!("failed: {failure}")),
            "retried" => (
                AnsiColor::Red,
                format!("failed, to be tried again: {failure}"),
            ),
            "cancelled" => (AnsiColor::Yellow, "called off".to_owned()),
            "snoozed" => (AnsiColor::Yellow, "put off".to_owned()),
            "released" => (AnsiColor::Yellow, "given back".to_owned()),
            "unrecorded" => (
                AnsiColor::Red,
                "done, but not recorded: it may run again".to_owned(),
            ),
            _ => (
                AnsiColor::Red,
                "lost: its lease ran out, or the job was removed".to_owned(),
            ),
        }
    }
}

/// Shows it, as long as somebody reads.
pub(super) struct Screen {
    as_json: bool,
    /// None where nobody looks.
    table: Option<Table>,
    broken: Option<Stop>,
}

impl Screen {
    pub(super) fn new(as_json: bool, shell: &Shell<'_>) -> Self {
        let live = !as_json && shell.out_is_terminal && shell.err_is_terminal;
        Self {
            as_json,
            table: live.then(Table::default),
            broken: None,
        }
    }

    /// The first of it. Tells whether it is worth going on.
    pub(super) fn begin(
        &mut self,
        id: &str,
        queues: &str,
        backend: &str,
        shell: &mut Shell<'_>,
    ) -> bool {
        if !self.as_json {
            let said = shell.say(&format!("worker {id} takes {queues} from {backend}"));
            self.broken = said.err();
        }
        self.broken.is_none()
    }

    /// Shows something. Tells whether that is worth going on with.
    pub(super) fn show(&mut self, told: &Told, shell: &mut Shell<'_>) -> bool {
        if let Some(table) = &mut self.table {
            table.count(told);
        }
        if let (Told::Ended(ended), None) = (told, &self.broken) {
            let as_json = self.as_json;
            let said = self.beside(|| say(ended, as_json, shell));
            self.broken = said.err();
        }
        self.broken.is_none()
    }

    /// Tells people something beside the results.
    pub(super) fn note(&self, text: &str, shell: &mut Shell<'_>) {
        self.beside(|| shell.note(text));
    }

    fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.table {
            Some(table) => table.rows.suspend(write),
            None => write(),
        }
    }

    /// The last of it. So many lines were dropped.
    pub(super) fn end(
        self,
        report: &WorkerReport,
        dropped: u64,
        shell: &mut Shell<'_>,
    ) -> Result<(), Stop> {
        if let Some(table) = &self.table {
            let _ = table.rows.clear();
        }
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        if dropped > 0 {
            let words = "lines were not written: what it said was not read in time";
            shell.note(&format!("{dropped} {words}"));
        }
        if self.as_json {
            return shell.say_json(&json!({ "success": true, "report": report }));
        }
        shell.say(&closing(report))
    }
}

/// What went wrong with the worker itself is told only where something did.
fn closing(report: &WorkerReport) -> String {
    let mut line = format!(
        "stopped: {} completed, {} failed, {} given back",
        report.completed, report.failed, report.released
    );
    for (count, words) in [
        (report.lost, "lost"),
        (report.unrecorded, "done but not recorded"),
    ] {
        if count > 0 {
            line += &format!(", {count} {words}");
        }
    }
    line
}

fn say(ended: &Ended, as_json: bool, shell: &mut Shell<'_>) -> Result<(), Stop> {
    let took = u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX);
    if as_json {
        return shell.say_json(&json!({
            "queue": ended.queue, "id": ended.id, "attempt": ended.attempt,
            "outcome": ended.outcome, "took_ms": took, "failure": ended.failure,
        }));
    }
    let (colour, what) = ended.line();
    let what = shell.tint(colour, &one_line(&what));
    let line = format!("{} {} {took} ms ", ended.queue, ended.id);
    shell.say_coloured(&line, &what)
}

/// A row for each queue that had something to do.
#[derive(Default)]
struct Table {
    rows: MultiProgress,
    queues: BTreeMap<String, Row>,
}

#[derive(Default)]
struct Row {
    bar: Option<ProgressBar>,
    counts: Counts,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    running: u64,
    done: u64,
    failed: u64,
    others: u64,
}

impl Counts {
    fn add(&mut self, told: &Told) {
        match told {
            Told::Began(_) => self.running += 1,
            Told::Over(_) => self.running = self.running.saturating_sub(1),
            Told::Ended(ended) => match ended.outcome {
                "completed" => self.done += 1,
                "failed" | "retried" => self.failed += 1,
                _ => self.others += 1,
            },
        }
    }

    fn text(&self, queue: &str) -> String {
        let queue = one_line(queue);
        let Self {
            running,
            done,
            failed,
            others,
        } = self;
        let others = match others {
            0 => String::new(),
            others => format!("  {others} called off or given back"),
        };
        format!("{queue:<20} {running} running  {done} done  {failed} failed{others}")
    }
}

impl Table {
    fn count(&mut self, told: &Told) {
        let queue = match told {
            Told::Began(queue) | Told::Over(queue) => queue,
            Told::Ended(ended) => &ended.queue,
        };
        let row = self.queues.entry(queue.clone()).or_default();
        row.counts.add(told);
        let bar = row.bar.get_or_insert_with(|| {
            let bar = self.rows.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TURN);
            bar
        });
        bar.set_message(row.counts.text(queue));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn ended(outcome: &'static str, failure: Option<&str>) -> Ended {
        Ended {
            queue: "q".to_owned(),
            id: "a".to_owned(),
            attempt: 1,
            outcome,
            failure: failure.map(str::to_owned),
            took: Duration::from_millis(7),
        }
    }

    fn shown(told: &[Told], as_json: bool) -> String {
        let mut out = Vec::new();
        let mut shell = Shell {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut std::io::sink(),
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        };
        let mut screen = Screen::new(as_json, &shell);
        for told in told {
            assert!(screen.show(told, &mut shell));
        }
        screen.end(&WorkerReport::default(), 0, &mut shell).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_end_has_a_line_whatever_it_was() {
        let rows = [
            ("completed", None, "done"),
            ("failed", Some("no\nluck"), "failed: no luck"),
            ("retried", Some("x"), "failed, to be tried again: x"),
            ("cancelled", None, "called off"),
            ("snoozed", None, "put off"),
            ("released", None, "given back"),
            (
                "unrecorded",
                None,
                "done, but not recorded: it may run again",
            ),
            (
                "lost",
                None,
                "lost: its lease ran out, or the job was removed",
            ),
        ];
        for (outcome, failure, words) in rows {
            let told = [Told::Ended(ended(outcome, failure))];
            let lines = shown(&told, false);
            assert!(lines.starts_with(&format!("q a 7 ms {words}\n")), "{lines}");
        }
        let told = [Told::Ended(ended("retried", Some("x")))];
        let lines = shown(&told, true);
        let line =
            r#"{"attempt":1,"failure":"x","id":"a","outcome":"retried","queue":"q","took_ms":7}"#;
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first, line);
    }

    #[test]
    fn what_is_lost_or_unrecorded_is_in_the_closing_line() {
        let rows = [
            (0, 0, ""),
            (2, 0, ", 2 lost"),
            (0, 3, ", 3 done but not recorded"),
            (2, 3, ", 2 lost, 3 done but not recorded"),
        ];
        for (lost, unrecorded, more) in rows {
            let report = WorkerReport {
                completed: 1,
                lost,
                unrecorded,
                ..WorkerReport::default()
            };
            let line = format!("stopped: 1 completed, 0 failed, 0 given back{more}");
            assert_eq!(closing(&report), line);
        }
    }

    #[test]
    fn a_queue_is_counted_from_begin_to_end() {
        let mut counts = Counts::default();
        let began = || Told::Began("q".to_owned());
        let over = || Told::Over("q".to_owned());
        for told in [
            began(),
            began(),
            began(),
            over(),
            Told::Ended(ended("completed", None)),
            over(),
            Told::Ended(ended("retried", Some("x"))),
        ] {
            counts.add(&told);
        }
        let text = counts.text("q");
        assert_eq!(text, "q                    1 running  1 done  1 failed");
        counts.add(&Told::Ended(ended("released", None)));
        assert!(counts.text("q").ends_with("1 called off or given back"));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_more_is() {
        let (mut end, mut err) = (Vec::new(), Vec::new());
        let mut full: &mut [u8] = &mut [];
        let mut shell = Shell {
            input: &mut std::io::empty(),
            out: &mut full,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        };
        let mut screen = Screen::new(false, &shell);
        let told = Told::Ended(ended("completed", None));
        assert!(!screen.show(&told, &mut shell));
        // A reader that comes back is told nothing by halves.
        shell.out = &mut end;
        assert!(!screen.show(&told, &mut shell));
        let stop = screen.end(&WorkerReport::default(), 0, &mut shell);
        assert!(matches!(stop, Err(Stop::Output(_))));
        assert!(end.is_empty());
    }
}
