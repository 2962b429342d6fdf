//! What a worker is told, also before it runs: it is kept until there is one to tell.

use credential_rotation::job::JobError;
use credential_rotation::job::worker::{Worker, WorkerHandle};
use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Orders(Mutex<Told>);

#[derive(Default)]
struct Told {
    /// Its handle and id, once it runs.
    worker: Option<(WorkerHandle, String)>,
    /// Whether it is to stop, and at once.
    stop: Option<bool>,
    concurrency: Vec<(String, usize)>,
}

impl Orders {
    /// Takes no more jobs; those that run may end, or with `now` are given back.
    pub(crate) fn stop(&self, now: bool) {
        let mut told = self.0.lock();
        told.stop = told.stop.max(Some(now));
        if let Some((handle, _)) = &told.worker {
            stop(handle, now);
        }
    }

    /// How many jobs a lane has at once. Before it runs, what is wrong is told when it does.
    pub(crate) fn set_concurrency(&self, lane: &str, concurrency: usize) -> Result<(), JobError> {
        let mut told = self.0.lock();
        if let Some((handle, _)) = &told.worker {
            return handle.set_concurrency(lane, concurrency);
        }
        told.concurrency.push((lane.to_owned(), concurrency));
        Ok(())
    }

    /// From here on this worker is told, first of all what was said before.
    pub(crate) fn give_to(&self, worker: &Worker) -> Result<(), JobError> {
        let mut told = self.0.lock();
        let handle = worker.handle();
        for (lane, concurrency) in told.concurrency.drain(..) {
            handle.set_concurrency(&lane, concurrency)?;
        }
        if let Some(now) = told.stop {
            stop(&handle, now);
        }
        told.worker = Some((handle, worker.id().to_owned()));
        Ok(())
    }

    /// The worker's id, once it runs.
    pub(crate) fn id(&self) -> Option<String> {
        let told = self.0.lock();
        told.worker.as_ref().map(|(_, id)| id.clone())
    }
}

fn stop(handle: &WorkerHandle, now: bool) {
    if now {
        handle.stop_now();
    } else {
        handle.stop();
    }
}
