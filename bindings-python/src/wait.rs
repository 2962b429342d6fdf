//! Waiting in a synchronous call: without the GIL, and with an ear for Ctrl-C.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use pyo3::prelude::*;

use crate::runtime::runtime;

/// How long Ctrl-C may go unheard.
const SLICE: Duration = Duration::from_millis(50);

/// Waits for a future. A signal whose handler raises ends it: the future is dropped,
/// and with it the work upstream.
pub(crate) fn block_on<F>(py: Python<'_>, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let runtime = runtime()?;
    py.detach(|| {
        let mut future = pin!(future);
        loop {
            let slice =
                runtime.block_on(async { tokio::time::timeout(SLICE, future.as_mut()).await });
            match slice {
                Ok(value) => return Ok(value),
                Err(_) => Python::try_attach(|py| py.check_signals())
                    .unwrap_or_else(|| wait_for_the_end())?,
            }
        }
    })
}

/// The interpreter is gone: the process ends under this thread, which has nowhere to
/// return to.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}
