//! One queue of a lane: its exchanges, and what gathers behind them.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use futures_util::future::BoxFuture;
use slab::Slab;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::crew::Crew;
use crate::job::attempt::fit_a_trip;
use crate::job::metrics::QueueMetrics;
use crate::job::{Claim, Exchange, Exchanged, JobError, Outcome, Settlement};

/// The most settlements of an exchange, and the most jobs it asks for.
pub(super) const BATCH: usize = 1_024;
/// The longest wait for work before the queue is asked anyway.
const IDLE: Duration = Duration::from_secs(10);
/// The time between two looks at a queue whose bell cannot be heard.
const DEAF: Duration = Duration::from_millis(500);
/// What is waited before a backend is asked again that said at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// An end that is to be recorded.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) attempt: Arc<Attempt>,
    /// Of its lease.
    pub(super) mark: usize,
    pub(super) outcome: Outcome,
}

/// An exchange that was answered, or not.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) side: usize,
    pub(super) asked: usize,
    /// When it was sent: leases last from then, at least.
    pub(super) sent: StdInstant,
    pub(super) answer: Result<Exchanged, JobError>,
}

pub(super) struct Side {
    pub(super) queue: Arc<str>,
    pub(super) metrics: QueueMetrics,
    pub(super) endings: Vec<Ending>,
    /// The exchanges under way, each with its ends.
    pub(super) sending: Slab<Vec<Ending>>,
    /// It rests before it is asked again, as the backend did not answer.
    pub(super) resting: bool,
    /// There were fewer jobs than asked for; none came since, as far as is known.
    pub(super) dry: bool,
    pub(super) backoff: Backoff,
    /// Calls off a claim that waits for work.
    claiming: Option<CancellationToken>,
    wait: Option<BoxFuture<'static, ()>>,
    again_at: Option<Instant>,
}

impl Side {
    pub(super) fn new(queue: Arc<str>) -> Self {
        Self {
            metrics: QueueMetrics::of(&queue),
            queue,
            endings: Vec::new(),
            sending: Slab::new(),
            resting: false,
            dry: false,
            backoff: Backoff::default(),
            claiming: None,
            wait: None,
            again_at: None,
        }
    }

    /// Whether it is worth asking for jobs.
    pub(super) fn may_have(&self) -> bool {
        !self.dry && !self.resting
    }

    /// Whether none of its exchanges is under way, and the backend may be asked.
    pub(super) fn is_quiet(&self) -> bool {
        self.sending.is_empty() && !self.resting
    }

    /// Records of what has gathered at most so many, and asks for so many jobs. Gives what
    /// the exchange is called among those under way.
    pub(super) fn exchange(
        &mut self,
        side: usize,
        most: usize,
        asked: usize,
        crew: &Arc<Crew>,
    ) -> (usize, impl Future<Output = Reply> + Send + 'static + use<>) {
        let outcomes = self.endings.iter().map(|ending| &ending.outcome);
        let fitting = fit_a_trip(outcomes.take(most)).min(self.endings.len());
        let rest = self.endings.split_off(fitting);
        let endings = std::mem::replace(&mut self.endings, rest);
        let settle = endings.iter().map(|ending| Settlement {
            lease: ending.attempt.lease().clone(),
            outcome: ending.outcome.clone(),
        });
        let exchange = Exchange {
            queue: Arc::clone(&self.queue),
            settle: settle.collect(),
            claim: Claim {
                worker: Arc::clone(&crew.id),
                max: asked,
                lease: crew.lease,
            },
        };
        let crew = Arc::clone(crew);
        let trip = self.sending.insert(endings);
        let replied = async move {
            let sent = StdInstant::now();
            // A job claimed by a reply that is later than its lease is another's.
            let answer = tokio::time::timeout(crew.lease, crew.jobs.exchange(exchange));
            let answer = answer.await.unwrap_or_else(|_| Err(late()));
            Reply {
                side,
                asked,
                sent,
                answer,
            }
        };
        (trip, replied)
    }

    /// There were as many jobs as asked for: there may be more.
    pub(super) fn ran_full(&mut self) {
        self.dry = false;
        self.again_at = None;
    }

    /// There are no more jobs for now; it may be worth asking again after a time.
    pub(super) fn ran_dry(&mut self, again_in: Option<Duration>) {
        self.dry = true;
        let again_in = again_in.map(|after| if after.is_zero() { AT_ONCE } else { after });
        self.again_at = again_in.map(|after| Instant::now() + after.min(IDLE));
    }

    /// It is not known whether there are jobs, and for now it does not matter.
    pub(super) fn forget(&mut self) {
        self.dry = false;
        self.wait = None;
        self.again_at = None;
        if let Some(claiming) = &self.claiming {
            claiming.cancel();
        }
    }

    pub(super) fn is_claiming(&self) -> bool {
        self.claiming.is_some()
    }

    /// Claims so many jobs as soon as there is work.
    pub(super) fn claim_next(
        &mut self,
        side: usize,
        asked: usize,
        crew: &Arc<Crew>,
    ) -> impl Future<Output = Reply> + Send + 'static + use<> {
        let called_off = self.claiming.insert(CancellationToken::new()).clone();
        let (crew, queue) = (Arc::clone(crew), Arc::clone(&self.queue));
        let claim = Claim {
            worker: Arc::clone(&crew.id),
            max: asked,
            lease: crew.lease,
        };
        // A lease is taken to begin when its claim was sent.
        let at_most = IDLE.min(crew.lease / 4);
        async move {
            let sent = StdInstant::now();
            let claimed = crew
                .jobs
                .wait_and_claim(&queue, claim, at_most, &called_off);
            let answer = tokio::time::timeout(crew.lease, claimed).await;
            let answer = answer.unwrap_or_else(|_| Err(late()));
            if !matches!(answer, Ok(_) | Err(JobError::Closed)) {
                // The exchange that follows tells of trouble: not in haste.
                let _ = tokio::time::timeout(DEAF, called_off.cancelled()).await;
            }
            Reply {
                side,
                asked,
                sent,
                answer,
            }
        }
    }

    /// A claim that waited has its answer.
    pub(super) fn came(&mut self, reply: &Reply) {
        let called_off = self.claiming.take().is_some_and(|off| off.is_cancelled());
        match &reply.answer {
            Ok(exchanged) if !called_off && exchanged.claimed.len() < reply.asked => {
                self.ran_dry(exchanged.again_in);
            }
            _ => self.dry = false,
        }
    }

    /// Waits for work, if there was none.
    pub(super) fn listen(&mut self, crew: &Arc<Crew>) {
        if self.dry && self.wait.is_none() {
            let (crew, queue) = (Arc::clone(crew), Arc::clone(&self.queue));
            self.wait = Some(Box::pin(async move {
                let waited = crew.jobs.wait_for_work(&queue, IDLE).await;
                // The exchange that follows tells of trouble: not in haste.
                if waited.is_err_and(|error| error != JobError::Closed) {
                    tokio::time::sleep(DEAF).await;
                }
            }));
        }
    }

    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at.filter(|_| self.dry)
    }

    /// Looks whether there may be work.
    pub(super) fn poll_ring(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        let Some(wait) = &mut self.wait else {
            return false;
        };
        if wait.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.wait = None;
        self.dry = false;
        true
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            match &self.claiming {
                Some(claiming) => claiming.cancel(),
                None => self.dry = false,
            }
        }
    }
}

fn late() -> JobError {
    JobError::Unavailable {
        backend: "the backend".to_owned(),
        problem: "no answer within a lease".to_owned(),
        remedy: "see whether it is overloaded, or give longer leases".to_owned(),
    }
}
