//! What a worker says goes out from a thread of its own: one whose reader is slow, or does
//! not read at all, goes on with its jobs, hears signals, and ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use super::screen::{Screen, Told};
use crate::cli::exit;
use crate::cli::shell::{Shell, Stop};
use crate::job::worker::WorkerReport;

/// So much waits for a reader that is slow. What comes on top is not shown.
const MOST_WAITING: usize = 16_384;

/// How long it takes to say the last of it, at most.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What a worker has come to, and its exit code.
pub(super) type Done = Result<(WorkerReport, u8), Stop>;

enum Saying {
    Begin([String; 3]),
    Told(Told),
    Note(&'static str),
    End(Done),
}

/// The way to the thread that writes, which nobody waits for.
#[derive(Clone)]
pub(super) struct Output {
    say: mpsc::Sender<Saying>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    broken: Notify,
}

/// The exit code, once all is said.
pub(super) struct Said(mpsc::Receiver<u8>);

impl Output {
    /// Starts the thread, over the process's streams.
    pub(super) fn start(as_json: bool) -> io::Result<(Self, Said)> {
        let (output, saying) = Self::new();
        let (tell, told) = mpsc::channel();
        let state = Arc::clone(&output.state);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                let code = Shell::of_process(|shell| write(&saying, &state, as_json, shell));
                // Who waited may have had no more time.
                let _ = code.map(|code| tell.send(code));
            })?;
        Ok((output, Said(told)))
    }

    fn new() -> (Self, mpsc::Receiver<Saying>) {
        let (say, saying) = mpsc::channel();
        let state = Arc::default();
        (Self { say, state }, saying)
    }

    /// The first of it.
    pub(super) fn begin(&self, id: &str, queues: &str, backend: &str) {
        self.say(Saying::Begin([id, queues, backend].map(str::to_owned)));
    }

    /// Shows something, unless too much waits already.
    pub(super) fn tell(&self, told: Told) {
        let State {
            waiting, dropped, ..
        } = &*self.state;
        if waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            if matches!(told, Told::Ended(_)) {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        self.say(Saying::Told(told));
    }

    /// Tells people something beside the results.
    pub(super) fn note(&self, text: &'static str) {
        self.say(Saying::Note(text));
    }

    /// Waits until what it says cannot be written any more. Tells of that once.
    pub(super) async fn broken(&self) {
        self.state.broken.notified().await;
    }

    /// The last of it; gives the exit code. A reader that is slow is waited for, but not long.
    pub(super) fn end(self, done: Done, said: &Said) -> u8 {
        let code = match &done {
            Ok((_, code)) => *code,
            Err(Stop::Error(error)) => exit::code_of(error),
            Err(Stop::Output(_)) => exit::STATE,
        };
        self.say(Saying::End(done));
        said.0.recv_timeout(LAST_WORDS).unwrap_or(code)
    }

    fn say(&self, saying: Saying) {
        // It is gone only when all was said.
        let _ = self.say.send(saying);
    }
}

/// Writes what is said until the end, and gives the exit code.
fn write(
    saying: &mpsc::Receiver<Saying>,
    state: &State,
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Option<u8> {
    let mut screen = Screen::new(as_json, shell);
    let mut mute = false;
    for said in saying {
        let goes_on = match said {
            Saying::Begin([id, queues, backend]) => screen.begin(&id, &queues, &backend, shell),
            Saying::Told(told) => {
                state.waiting.fetch_sub(1, Ordering::Relaxed);
                screen.show(&told, shell)
            }
            Saying::Note(text) => {
                screen.note(text, shell);
                true
            }
            Saying::End(done) => {
                let dropped = state.dropped.load(Ordering::Relaxed);
                let ended = done.and_then(|(report, code)| {
                    screen.end(&report, dropped, shell)?;
                    Ok(code)
                });
                return Some(shell.end(ended, as_json));
            }
        };
        if !goes_on && !mute {
            mute = true;
            screen.note("stopping: what it says cannot be written any more", shell);
            state.broken.notify_one();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::ended;
    use super::*;

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let (output, saying) = Output::new();
        for _ in 0..MOST_WAITING + 5 {
            output.tell(Told::Ended(ended("completed", None)));
        }
        output.tell(Told::Over("q".to_owned()));
        output.say(Saying::End(Ok((WorkerReport::default(), exit::OK))));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut shell = Shell {
            input: &mut io::empty(),
            out: &mut out,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        };
        let code = write(&saying, &output.state, false, &mut shell);
        assert_eq!(code, Some(exit::OK));
        // Those that ended, and the last.
        assert_eq!(
            String::from_utf8(out).unwrap().lines().count(),
            MOST_WAITING + 1
        );
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "5 lines were not written: what it said was not read in time\n"
        );
        assert_eq!(output.state.waiting.load(Ordering::Relaxed), 0);
    }
}
