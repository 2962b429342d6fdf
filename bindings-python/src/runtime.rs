//! One tokio runtime a process, started at the first call.
//!
//! A forked child has none of its parent's threads: it starts a runtime of its
//! own. Generations are chained and never dropped, and none is built while a lock
//! is held, so that neither a fork at any moment nor a child's exit can hang.

use std::sync::OnceLock;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

const WORKERS: usize = 2;

static FIRST: OnceLock<Box<Generation>> = OnceLock::new();

struct Generation {
    process: u32,
    runtime: Runtime,
    next: OnceLock<Box<Generation>>,
}

/// This process's runtime.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    let process = std::process::id();
    let mut slot = &FIRST;
    loop {
        match slot.get() {
            Some(generation) if generation.process == process => return Ok(&generation.runtime),
            Some(older) => slot = &older.next,
            // Whoever loses this race uses the winner's in the next round.
            None => {
                let runtime = build().map_err(|problem| {
                    PyOSError::new_err(format!("cannot start the runtime's threads: {problem}"))
                })?;
                let made = Generation {
                    process,
                    runtime,
                    next: OnceLock::new(),
                };
                if let Err(lost) = slot.set(Box::new(made)) {
                    lost.runtime.shutdown_background();
                }
            }
        }
    }
}

fn build() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("credential-rotation")
        .enable_all()
        .build()
}
