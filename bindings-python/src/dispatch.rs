//! One thread that speaks to the interpreter for the runtime's workers.
//!
//! What it is given is short: waking a loop, handing a question over, cancelling a
//! coroutine. Workers go on meanwhile; none of them ever waits for the GIL. A thread
//! of ours that held the GIL as the interpreter ends would bring the process down,
//! so [`leave`] closes the door before that.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

type Errand = Box<dyn FnOnce(Python<'_>) + Send>;

/// How long an errand may hold up the end of the process.
const FAREWELL: Duration = Duration::from_secs(2);

static LEAVING: AtomicBool = AtomicBool::new(false);

/// A forked child has no thread of its parent's. Chained and never dropped, like the
/// runtime: no lock that a fork could leave taken.
struct Generation {
    process: u32,
    errands: Sender<Errand>,
    waiting: Mutex<Option<Receiver<Errand>>>,
    /// Held while the thread speaks to the interpreter.
    busy: Mutex<()>,
    next: OnceLock<Box<Generation>>,
}

static FIRST: OnceLock<Box<Generation>> = OnceLock::new();

/// Does this with the interpreter, soon; not at all when that is shutting down.
pub(crate) fn dispatch(errand: impl FnOnce(Python<'_>) + Send + 'static) {
    // Fails only when the thread has gone, at exit: then nobody waits any more.
    let _ = generation().errands.send(Box::new(errand));
}

/// Refuses what only the dispatcher could finish, once it is gone: to the main thread,
/// which would wait for ever. Others end with the process, and need no traceback.
pub(crate) fn still_here(py: Python<'_>) -> PyResult<()> {
    if !LEAVING.load(Ordering::Acquire) {
        return Ok(());
    }
    let threading = py.import("threading")?;
    let here = threading.call_method0("current_thread")?;
    if !here.is(&threading.call_method0("main_thread")?) {
        return Ok(());
    }
    let words = "the interpreter is shutting down: no call from a coroutine can be made";
    Err(PyRuntimeError::new_err(words))
}

/// Called at exit, while the interpreter is whole: from here on no thread of ours
/// speaks to it.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    LEAVING.store(true, Ordering::Release);
    py.detach(|| {
        let this_process = std::process::id();
        let mut slot = &FIRST;
        while let Some(generation) = slot.get() {
            if generation.process == this_process {
                drop(generation.busy.try_lock_for(FAREWELL));
            }
            slot = &generation.next;
        }
    });
}

fn generation() -> &'static Generation {
    let process = std::process::id();
    let mut slot = &FIRST;
    loop {
        match slot.get() {
            Some(generation) if generation.process == process => {
                generation.start();
                return generation;
            }
            Some(older) => slot = &older.next,
            None => {
                let (errands, waiting) = channel();
                let made = Generation {
                    process,
                    errands,
                    waiting: Mutex::new(Some(waiting)),
                    busy: Mutex::new(()),
                    next: OnceLock::new(),
                };
                // Whoever loses this race uses the winner's in the next round.
                drop(slot.set(Box::new(made)));
            }
        }
    }
}

impl Generation {
    fn start(&'static self) {
        let Some(errands) = self.waiting.lock().take() else {
            return;
        };
        // Without the thread `send` fails, and calls end at their deadlines.
        let _ = std::thread::Builder::new()
            .name("credential-rotation-dispatch".to_owned())
            .spawn(move || {
                while let Ok(errand) = errands.recv() {
                    if !self.run(errand) {
                        return;
                    }
                }
            });
    }

    fn run(&self, errand: Errand) -> bool {
        let _busy = self.busy.lock();
        let mut errand = Some(errand);
        let done = !LEAVING.load(Ordering::Acquire)
            && Python::try_attach(|py| {
                if let Some(errand) = errand.take() {
                    errand(py);
                }
            })
            .is_some();
        if !done {
            // What it holds cannot be given back to an interpreter that is gone.
            std::mem::forget(errand);
        }
        done
    }
}
