//! What a worker is told while it runs, and the handle to tell it by.

use std::sync::Arc;

use tokio::sync::watch;

use super::lane::{self, Lane};
use crate::job::JobError;

/// How far a worker is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Run,
    /// Take no more, end what runs.
    Drain,
    /// Give back what runs.
    Now,
}

#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub(super) mode: Mode,
    /// Whether leases can be kept: without, none are taken.
    pub(super) leases_kept: bool,
    pub(super) concurrency: Vec<usize>,
}

/// The orders of one worker. Clones are of the same.
#[derive(Debug, Clone)]
pub(super) struct Control {
    orders: watch::Sender<Orders>,
    lanes: Arc<[String]>,
}

impl Control {
    pub(super) fn new(lanes: &[Lane]) -> Self {
        let orders = Orders {
            mode: Mode::Run,
            leases_kept: false,
            concurrency: lanes.iter().map(|lane| lane.concurrency).collect(),
        };
        Self {
            orders: watch::Sender::new(orders),
            lanes: lanes.iter().map(Lane::name).collect(),
        }
    }

    pub(super) fn follow(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// A later mode is never taken back.
    pub(super) fn stop(&self, mode: Mode) {
        self.orders.send_if_modified(|orders| {
            let news = orders.mode < mode;
            orders.mode = orders.mode.max(mode);
            news
        });
    }

    pub(super) fn set_leases_kept(&self, kept: bool) {
        self.orders
            .send_if_modified(|orders| std::mem::replace(&mut orders.leases_kept, kept) != kept);
    }

    /// Waits until it is asked to stop at least so far.
    pub(super) async fn stopped(&self, mode: Mode) {
        // The sender is here: it does not end.
        let _ = self.follow().wait_for(|orders| orders.mode >= mode).await;
    }
}

/// Tells a worker what to do while it runs. Clones are for the same worker.
#[derive(Debug, Clone)]
pub struct WorkerHandle(pub(super) Control);

impl WorkerHandle {
    /// Takes no more jobs, ends those that run within the grace, gives back the rest.
    pub fn stop(&self) {
        self.0.stop(Mode::Drain);
    }

    /// Takes no more jobs and gives back those that run.
    pub fn stop_now(&self) {
        self.0.stop(Mode::Now);
    }

    /// Sets how many jobs a lane has at once. With fewer than run, those go on.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for a lane it does not have, named by its queues with commas
    /// between, and for no slots or too many.
    pub fn set_concurrency(&self, lane: &str, concurrency: usize) -> Result<(), JobError> {
        lane::check_concurrency(concurrency)?;
        let Some(nth) = self.0.lanes.iter().position(|name| name == lane) else {
            let problem = format!("no lane `{lane}`: there are {}", self.0.lanes.join(" and "));
            return Err(JobError::invalid("lane", problem));
        };
        self.0.orders.send_modify(|orders| {
            if let Some(now) = orders.concurrency.get_mut(nth) {
                *now = concurrency;
            }
        });
        Ok(())
    }
}
