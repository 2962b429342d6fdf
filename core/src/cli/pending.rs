//! Waiting for asynchronous work from a program: until it is done, or a signal comes.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::exit;
use super::shell::Stop;
use crate::provider::cli::wait_for_groups;

/// What blocking work that nobody waits for any more may still take.
const WIND_UP: Duration = Duration::from_secs(1);

/// What became of the work.
pub(super) enum Waited<T> {
    /// It is done.
    Done(T),
    /// A signal ended it; the exit code says which.
    Signalled(u8),
}

/// Runs work on a runtime of its own. A signal drops it, and with it the calls
/// upstream; the programs that it started are gone when this returns.
pub(super) fn wait_for<T>(work: impl Future<Output = T>) -> Result<Waited<T>, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let waited = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok::<_, std::io::Error>(tokio::select! {
            biased;
            _ = interrupt.recv() => Waited::Signalled(exit::INTERRUPTED),
            _ = terminate.recv() => Waited::Signalled(exit::TERMINATED),
            done = work => Waited::Done(done),
        })
    });
    runtime.shutdown_timeout(WIND_UP);
    wait_for_groups();
    Ok(waited?)
}
