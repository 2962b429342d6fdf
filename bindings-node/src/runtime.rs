//! Where the core's futures run: one Tokio runtime for the process.
//!
//! It is apart from napi's own, which stops and starts with Node's environments.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// More threads than this do not make network calls faster.
const MOST_THREADS: usize = 4;

/// Runs a future to its end, or to its abort.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> napi::Result<AbortHandle> {
    Ok(handle()?.spawn(work).abort_handle())
}

/// Does something where timers, sockets and signals can be made.
pub(crate) fn inside<T>(work: impl FnOnce() -> T) -> napi::Result<T> {
    let _inside = handle()?.enter();
    Ok(work())
}

/// Drops a value where its destructor may use timers and sockets.
pub(crate) fn drop_inside<T: Send + 'static>(value: T) {
    // Without a runtime nothing of the kind was ever made.
    let _ = spawn(async move { drop(value) });
}

/// Keeps this thread until `work` is done, at most as long as `patience`.
pub(crate) fn wait(work: impl Future<Output = ()>, patience: Duration) {
    if let Ok(handle) = handle() {
        let _ = handle.block_on(async { tokio::time::timeout(patience, work).await });
    }
}

/// The runtime's handle.
fn handle() -> napi::Result<&'static Handle> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Builder::new_multi_thread()
            .worker_threads(cores.min(MOST_THREADS))
            .thread_name("credential-rotation")
            .enable_all()
            .build()
            .map_err(|problem| problem.to_string())
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(problem) => Err(napi::Error::from_reason(format!(
            "cannot start the runtime: {problem}"
        ))),
    }
}
