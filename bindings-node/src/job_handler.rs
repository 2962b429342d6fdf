//! Handlers that are JavaScript: the core hands over attempts, the host their ends.
//!
//! Attempts go over in batches. Nothing of the core waits for the JavaScript thread:
//! one that is busy for long loses no lease.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use credential_rotation::clock::EpochMillis;
use credential_rotation::job::worker::{Context, Handler, HandlerError, SlotHold};
use credential_rotation::job::{JobId, Payload};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::outbox::Outbox;

/// What came of an attempt.
pub(crate) type Ended = Result<Payload, HandlerError>;

/// An attempt as its handler gets it, but for the payload.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a JobId,
    queue: &'a str,
    kind: &'a str,
    attempt: u32,
    max_attempts: u32,
    session: Option<&'a str>,
    group: Option<&'a str>,
    tags: &'a [Box<str>],
    priority: i16,
    deadline: Option<EpochMillis>,
}

impl<'a> Told<'a> {
    fn of(job: &'a Context) -> Self {
        let spec = job.spec();
        Self {
            id: job.id(),
            queue: &job.lease().queue,
            kind: job.kind(),
            attempt: job.attempt(),
            max_attempts: spec.max_attempts,
            session: job.session(),
            group: spec.group.as_deref(),
            tags: &spec.tags,
            priority: spec.priority,
            deadline: job.deadline(),
        }
    }
}

/// The JavaScript side.
pub(crate) struct Host {
    outbox: Outbox,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u32,
    attempts: HashMap<u32, (Context, oneshot::Sender<Ended>)>,
    /// The slots of handlers that have not settled: one that does not heed its signal
    /// goes on behind its timeout.
    holds: HashMap<u32, SlotHold>,
}

/// Lets the host do the work.
pub(crate) struct HostHandler(pub(crate) Arc<Host>);

#[async_trait]
impl Handler for HostHandler {
    async fn run(&self, job: Context) -> Ended {
        let cancelled = job.cancelled();
        let (number, mut ended) = self.0.begin(job);
        let _waiting = Waiting {
            host: &self.0,
            number,
        };
        let end = tokio::select! {
            biased;
            end = &mut ended => end,
            () = cancelled.cancelled() => {
                self.0.abort(number);
                ended.await
            }
        };
        match end {
            Ok(end) => end,
            // The environment is gone, and this worker is about to be.
            Err(_) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Tells the host when its end is not waited for any more.
struct Waiting<'a> {
    host: &'a Host,
    number: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self
            .host
            .open
            .lock()
            .attempts
            .remove(&self.number)
            .is_some()
        {
            self.host.abort(self.number);
        }
    }
}

impl Host {
    /// One that is asked through the outbox.
    pub(crate) fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            open: Mutex::default(),
        }
    }

    /// An attempt's handler has settled: its slot is free. An end that nobody waits for any
    /// more is dropped.
    pub(crate) fn end(&self, number: u32, ended: Ended) {
        let (held, attempt) = {
            let mut open = self.open.lock();
            (open.holds.remove(&number), open.attempts.remove(&number))
        };
        drop(held);
        if let Some((_, asker)) = attempt {
            let _ = asker.send(ended);
        }
    }

    /// Whether an attempt's handler is still to begin: one that is over, or is to end, by
    /// the time the host comes to it is done with, and its slot free.
    pub(crate) fn begins(&self, number: u32) -> bool {
        let is_open = self
            .attempt(number)
            .is_some_and(|attempt| !attempt.is_cancelled());
        if !is_open {
            self.end(number, Err(HandlerError::Cancelled));
        }
        is_open
    }

    fn begin(&self, job: Context) -> (u32, oneshot::Receiver<Ended>) {
        let told = Told::of(&job);
        let told = serde_json::to_string(&told).unwrap_or_default();
        let payload = String::from_utf8_lossy(job.payload().as_bytes());
        let payload = serde_json::to_string(&payload).unwrap_or_default();
        let (asker, ended) = oneshot::channel();
        let number = {
            let mut open = self.open.lock();
            open.last = open.last.wrapping_add(1);
            let number = open.last;
            open.holds.insert(number, job.hold_slot());
            open.attempts.insert(number, (job, asker));
            number
        };
        self.outbox.add(|lines| {
            // Writing to a string does not fail.
            let _ = write!(lines, "[{number},{told},{payload}]");
        });
        (number, ended)
    }

    fn abort(&self, number: u32) {
        self.outbox.add(|lines| {
            let _ = write!(lines, "[{number}]");
        });
    }

    /// An attempt that is waited for.
    pub(crate) fn attempt(&self, number: u32) -> Option<Context> {
        let open = self.open.lock();
        open.attempts
            .get(&number)
            .map(|(attempt, _)| attempt.clone())
    }
}
