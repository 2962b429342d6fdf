//! The way to JavaScript for many: what is there when its thread looks goes over in
//! one call and one string, a JSON list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::Env;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;

/// Weak: it does not keep a process alive that has nothing to do.
type Bell = ThreadsafeFunction<(), (), String, napi::Status, false, true>;

/// What waits to go over, and the bell that calls for it.
pub(crate) struct Outbox {
    tray: Arc<Tray>,
    bell: Mutex<Bell>,
}

#[derive(Default)]
struct Tray {
    /// Lines of JSON, separated by commas.
    lines: Mutex<String>,
    rung: AtomicBool,
}

impl Outbox {
    /// `deliver` gets the lists.
    pub(crate) fn new(deliver: &Function<'_, String, ()>) -> napi::Result<Self> {
        let tray = Arc::<Tray>::default();
        let emptied = Arc::clone(&tray);
        let bell: Bell = deliver
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build_callback(move |_| Ok(emptied.empty()))?;
        Ok(Self {
            tray,
            bell: Mutex::new(bell),
        })
    }

    /// Adds a line, which `write` appends as JSON.
    pub(crate) fn add(&self, write: impl FnOnce(&mut String)) {
        {
            let mut lines = self.tray.lines.lock();
            let separator = if lines.is_empty() { '[' } else { ',' };
            lines.push(separator);
            write(&mut lines);
        }
        if !self.tray.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the environment is gone, and its promises with it.
            let bell = self.bell.lock();
            let _ = bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Keeps the process alive.
    pub(crate) fn hold(&self, env: &Env) -> napi::Result<()> {
        #[expect(deprecated, reason = "the only way to wait while there are calls")]
        let held = self.bell.lock().refer(env);
        held
    }

    /// Lets the process exit when it has nothing else to do.
    pub(crate) fn release(&self, env: &Env) -> napi::Result<()> {
        #[expect(deprecated, reason = "the only way to wait while there are calls")]
        let released = self.bell.lock().unref(env);
        released
    }
}

impl Tray {
    fn empty(&self) -> String {
        self.rung.store(false, Ordering::Release);
        let mut lines = std::mem::take(&mut *self.lines.lock());
        let end = if lines.is_empty() { "[]" } else { "]" };
        lines.push_str(end);
        lines
    }
}
