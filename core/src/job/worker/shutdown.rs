//! Signals of the operating system: the first stops a worker, the second at once.

use super::{Worker, WorkerHandle, WorkerReport};
use crate::job::JobError;

impl Worker {
    /// Runs jobs until SIGTERM or SIGINT; then as [`Worker::run`]. A second signal gives
    /// back at once what runs.
    ///
    /// # Errors
    /// As [`Worker::run`], and when signals cannot be listened to.
    pub async fn run_until_signalled(self) -> Result<WorkerReport, JobError> {
        let mut signals = Signals::listen().map_err(|error| JobError::Unavailable {
            backend: "this machine".to_owned(),
            problem: format!("signals cannot be listened to: {error}"),
            remedy: "call `run` with a shutdown of your own".to_owned(),
        })?;
        let handle: WorkerHandle = self.handle();
        let watch = async {
            signals.next().await;
            handle.stop();
            signals.next().await;
            handle.stop_now();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            report = self.run(std::future::pending()) => report,
            () = watch => Err(JobError::Closed),
        }
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
