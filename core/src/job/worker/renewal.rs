//! Keeps the leases of a worker's attempts, whatever its runtime is busy with.
//!
//! A thread of its own with a runtime and a connection of its own: a handler that
//! blocks its thread, or a host language that holds its lock, keeps its lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::control::Control;
use crate::job::{EventStream, JobError, JobId, Lease, Renewal, SharedJobs};

/// The most leases of one call.
const BATCH: usize = 1_000;
/// Failed renewals in a row after which a new connection is made.
const PATIENCE: u32 = 3;

/// What a lane is told of one of its attempts.
#[derive(Debug)]
pub(super) enum Notice {
    /// It is to be called off.
    CancelRequested(Arc<Attempt>),
    /// Its lease is lost.
    Lost(Arc<Attempt>),
}

/// The leases that are to be kept.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: Mutex<Slab<Held>>,
    lanes: Mutex<Vec<mpsc::UnboundedSender<Notice>>>,
}

#[derive(Debug)]
struct Held {
    attempt: Arc<Attempt>,
    until: Instant,
    lane: usize,
}

impl Ledger {
    /// What the next lane, by number, is told.
    pub(super) fn add_lane(&self) -> mpsc::UnboundedReceiver<Notice> {
        // At most a few messages for each attempt of the lane.
        let (lane, notices) = mpsc::unbounded_channel();
        self.lanes.lock().push(lane);
        notices
    }

    /// Keeps leases that last until then. Gives a mark for each.
    pub(super) fn hold(
        &self,
        attempts: &[Arc<Attempt>],
        until: Instant,
        lane: usize,
    ) -> Vec<usize> {
        let mut ledger = self.held.lock();
        let hold = |attempt: &Arc<Attempt>| {
            ledger.insert(Held {
                attempt: Arc::clone(attempt),
                until,
                lane,
            })
        };
        attempts.iter().map(hold).collect()
    }

    /// Keeps these no more.
    pub(super) fn drop_all(&self, marks: impl Iterator<Item = usize>) {
        let mut ledger = self.held.lock();
        for mark in marks {
            ledger.try_remove(mark);
        }
    }

    /// The ids of at most so many of the jobs.
    pub(super) fn jobs(&self, most: usize) -> Vec<String> {
        let ledger = self.held.lock();
        let held = ledger.iter().take(most);
        held.map(|(_, held)| held.attempt.lease().id.as_str().to_owned())
            .collect()
    }

    fn has(&self, id: &JobId) -> bool {
        let ledger = self.held.lock();
        ledger
            .iter()
            .any(|(_, held)| held.attempt.lease().id == *id)
    }

    fn all(&self) -> Vec<(usize, Arc<Attempt>)> {
        let ledger = self.held.lock();
        let held = ledger.iter();
        held.map(|(mark, held)| (mark, Arc::clone(&held.attempt)))
            .collect()
    }

    fn apply(&self, asked: &[(usize, Arc<Attempt>)], renewals: &[Renewal], until: Instant) {
        let mut notices = Vec::new();
        let mut ledger = self.held.lock();
        for ((mark, attempt), renewal) in asked.iter().zip(renewals) {
            // Settled in between, and the mark is another's.
            let Some(held) = ledger.get_mut(*mark) else {
                continue;
            };
            if !Arc::ptr_eq(&held.attempt, attempt) {
                continue;
            }
            match renewal {
                Renewal::Kept => held.until = until,
                Renewal::CancelRequested => {
                    held.until = until;
                    if attempt.request_cancel() {
                        let notice = Notice::CancelRequested(Arc::clone(attempt));
                        notices.push((held.lane, notice));
                    }
                }
                Renewal::Lost => notices.extend(held.lose()),
            }
        }
        drop(ledger);
        self.send(notices);
    }

    /// Gives up attempts whose lease has run out under them. What has ended is still
    /// sent: if nobody took the job in between, it counts.
    fn lapse(&self, now: Instant) {
        let ledger = self.held.lock();
        let lapsed = |held: &&Held| held.until < now && !held.attempt.has_ended();
        let held = ledger.iter().map(|(_, held)| held);
        let notices = held.filter(lapsed).filter_map(Held::lose).collect();
        drop(ledger);
        self.send(notices);
    }

    fn send(&self, notices: Vec<(usize, Notice)>) {
        let lanes = self.lanes.lock();
        for (lane, notice) in notices {
            // A lane that is gone has no need of it.
            lanes.get(lane).map(|lane| lane.send(notice));
        }
    }
}

impl Held {
    fn lose(&self) -> Option<(usize, Notice)> {
        let notice = || (self.lane, Notice::Lost(Arc::clone(&self.attempt)));
        self.attempt.lose().then(notice)
    }
}

/// The thread that renews, for as long as this is there.
#[derive(Debug)]
pub(super) struct Renewals(CancellationToken);

impl Renewals {
    pub(super) fn start(
        jobs: SharedJobs,
        ledger: Arc<Ledger>,
        control: Control,
        lease: Duration,
    ) -> Result<Self, JobError> {
        let stopped = CancellationToken::new();
        let stop = stopped.clone();
        let trouble = |error: std::io::Error| JobError::Unavailable {
            backend: "this machine".to_owned(),
            problem: format!("no thread for the renewal of leases: {error}"),
            remedy: "end other threads, or raise the limit on them".to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(trouble)?;
        let renew = async move {
            let mut keeper = Keeper {
                jobs,
                apart: None,
                cancels: None,
                ledger,
                control,
                lease,
                backoff: Backoff::default(),
            };
            tokio::select! {
                () = keeper.keep() => {}
                () = stop.cancelled() => {}
            }
        };
        std::thread::Builder::new()
            .name("job-renewal".to_owned())
            .spawn(move || runtime.block_on(renew))
            .map_err(trouble)?;
        Ok(Self(stopped))
    }
}

impl Drop for Renewals {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Keeper {
    jobs: SharedJobs,
    apart: Option<SharedJobs>,
    /// Requests to cancel, as they come.
    cancels: Option<EventStream>,
    ledger: Arc<Ledger>,
    control: Control,
    lease: Duration,
    backoff: Backoff,
}

impl Keeper {
    async fn keep(&mut self) {
        loop {
            let begun = Instant::now();
            let pause = self.lease / 3;
            let rest = match self.renew_in_time().await {
                Ok(()) => {
                    self.backoff.reset();
                    self.control.set_leases_kept(true);
                    pause.saturating_sub(begun.elapsed())
                }
                Err(error) => {
                    tracing::warn!(%error, "leases are not renewed: no jobs are taken until they are");
                    self.control.set_leases_kept(false);
                    if self.backoff.failures() >= PATIENCE {
                        self.apart = None;
                    }
                    self.backoff.next().min(pause)
                }
            };
            self.ledger.lapse(Instant::now());
            // A renewal says which are to be called off: a request makes it come sooner.
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = asked_to_cancel(&mut self.cancels, &self.ledger) => {}
            }
        }
    }

    /// A slow backend is waited for as long as its answer may still keep a lease, if it has no
    /// shorter limit of its own, and no jobs are taken meanwhile. Behind that the connection
    /// counts as hung.
    async fn renew_in_time(&mut self) -> Result<(), JobError> {
        let (control, ledger, lease) = (self.control.clone(), Arc::clone(&self.ledger), self.lease);
        {
            let mut renewing = std::pin::pin!(self.renew());
            // A third of a lease, and the next one in pieces: what runs out is told of soon.
            for pause in [lease / 3].into_iter().chain([lease / 12; 4]) {
                if let Ok(renewed) = tokio::time::timeout(pause, &mut renewing).await {
                    return renewed;
                }
                control.set_leases_kept(false);
                ledger.lapse(Instant::now());
            }
        }
        self.apart = None;
        Err(late())
    }

    async fn renew(&mut self) -> Result<(), JobError> {
        let apart = match &self.apart {
            Some(apart) => Arc::clone(apart),
            None => {
                let apart = self.jobs.apart().await?;
                self.cancels = Some(apart.cancel_requests().await?);
                Arc::clone(self.apart.insert(apart))
            }
        };
        let held = self.ledger.all();
        // With nothing to renew it may still be that nothing can be: a connection that failed
        // is tried before jobs are taken again.
        if held.is_empty() && self.backoff.failures() > 0 {
            apart.renew(&[], self.lease).await?;
        }
        for asked in held.chunks(BATCH) {
            let leases: Vec<Lease> = asked.iter().map(|(_, held)| held.lease().clone()).collect();
            let until = Instant::now() + self.lease;
            let renewals = apart.renew(&leases, self.lease).await?;
            self.ledger.apply(asked, &renewals, until);
        }
        Ok(())
    }
}

/// Waits for a request to cancel one of these, or one that was missed.
async fn asked_to_cancel(cancels: &mut Option<EventStream>, ledger: &Ledger) {
    while let Some(stream) = cancels {
        match stream.next().await {
            Some(event) if event.id.as_ref().is_none_or(|id| ledger.has(id)) => return,
            Some(_) => {}
            None => *cancels = None,
        }
    }
    std::future::pending().await
}

fn late() -> JobError {
    JobError::Unavailable {
        backend: "the backend".to_owned(),
        problem: "no answer within two thirds of a lease".to_owned(),
        remedy: "see whether it is overloaded, or give longer leases".to_owned(),
    }
}
