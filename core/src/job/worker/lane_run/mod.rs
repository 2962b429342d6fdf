//! A lane at work: claims what it has slots for, runs it, records what came of it.
//!
//! One task decides, without locks. Each queue has one exchange under way at a time:
//! it records the ends that gathered behind the one before and asks for exactly the
//! free slots. An idle system pays one round trip a job, a busy one gets batches; and
//! where half a lane's slots are worth a batch, two are under way, so that the backend
//! serves one while the jobs of the other run. Where there is no work, a claim for all
//! free slots waits at the backend beside that.

mod attempts;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use slab::Slab;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::job::worker::attempt_run::Ended;
use crate::job::worker::control::{Mode, Orders};
use crate::job::worker::crew::Crew;
use crate::job::worker::lane::Lane;
use crate::job::worker::renewal::Notice;
use crate::job::worker::report::WorkerReport;
use crate::job::worker::side::{BATCH, Ending, Reply, Side};
use crate::job::worker::slots::{Over, Slots};
use crate::job::worker::verdict;
use crate::job::{JobError, Outcome};

/// How long a worker that stops tries to record ends with a backend in trouble.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The longest rest before another try while the worker stops.
const SHORT_REST: Duration = Duration::from_millis(500);

/// Free slots that are worth a second exchange beside the one under way.
const WORTH: usize = 32;

/// Attempts that may be over at once before other tasks have their turn.
const AT_ONCE: usize = 256;

/// What a lane waits for, with the backend or the desk.
enum Step {
    Replied(usize, Reply),
    /// A claim that waited for work has its answer.
    Came(Reply),
    /// The side may try again.
    Rested(usize),
    /// The last news of an attempt are recorded: its place among those that wait for it.
    Reported(usize),
}

pub(super) struct LaneRun {
    crew: Arc<Crew>,
    lane: Lane,
    number: usize,
    sides: Vec<Side>,
    slots: Slots,
    /// Slots that are asked for.
    asked: usize,
    /// Attempts that were over as soon as they began, since other tasks had their turn.
    at_once: usize,
    /// An exchange is to be on its way before anything else is done.
    lets_send: bool,
    /// Ends whose last news are still to be recorded, each with its side.
    reporting: Slab<(usize, Ending)>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    ended: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
    notices: mpsc::UnboundedReceiver<Notice>,
    orders: watch::Receiver<Orders>,
    now: Orders,
    last_words: Option<Instant>,
    report: WorkerReport,
}

impl LaneRun {
    pub(super) fn new(
        crew: Arc<Crew>,
        lane: Lane,
        number: usize,
        mut orders: watch::Receiver<Orders>,
        notices: mpsc::UnboundedReceiver<Notice>,
    ) -> Self {
        let now = orders.borrow_and_update().clone();
        Self {
            sides: lane.queues.iter().cloned().map(Side::new).collect(),
            crew,
            lane,
            number,
            slots: Slots::default(),
            asked: 0,
            at_once: 0,
            lets_send: false,
            reporting: Slab::new(),
            steps: FuturesUnordered::new(),
            // As many messages as slots, at most a few each.
            ended: mpsc::unbounded_channel(),
            notices,
            orders,
            now,
            last_words: None,
            report: WorkerReport::default(),
        }
    }

    /// Works until it is told to stop and all is recorded.
    pub(super) async fn run(mut self) -> Result<WorkerReport, JobError> {
        let worked = self.work().await;
        self.leave();
        worked.map(|()| self.report)
    }

    async fn work(&mut self) -> Result<(), JobError> {
        loop {
            self.exchange();
            if self.is_done() {
                break;
            }
            self.listen();
            // A backend and handlers that answer at once must not keep other tasks waiting,
            // and what is to be sent is sent by another task.
            let sends = std::mem::take(&mut self.lets_send);
            if std::mem::take(&mut self.at_once) > AT_ONCE || sends {
                tokio::task::yield_now().await;
            }
            tokio::task::coop::consume_budget().await;
            let next_time = self.next_time();
            let time = async {
                match next_time {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(step) = self.steps.next(), if !self.steps.is_empty() => self.step(step)?,
                Some(ended) = self.ended.1.recv() => self.task_ended(ended),
                Some(notice) = self.notices.recv() => self.noticed(notice),
                changed = self.orders.changed() => match changed {
                    Ok(()) => self.ordered(),
                    // Nobody is there to be worked for.
                    Err(_) => break,
                },
                () = ring(&mut self.sides) => {}
                () = time => self.time_passed(),
            }
            while let Ok(ended) = self.ended.1.try_recv() {
                self.task_ended(ended);
            }
        }
        Ok(())
    }

    fn concurrency(&self) -> usize {
        self.now.concurrency.get(self.number).copied().unwrap_or(0)
    }

    fn free(&self) -> usize {
        let taken = self.slots.taken() + self.asked;
        self.concurrency().saturating_sub(taken)
    }

    fn takes_jobs(&self) -> bool {
        self.now.mode == Mode::Run && self.now.leases_kept
    }

    /// Whether a queue may have two exchanges under way. Those of a weighted lane have one
    /// each, so that the weights hold.
    fn is_worth_two(&self) -> bool {
        let apart = self.lane.queues.len() == 1 || self.lane.is_strict();
        apart && self.concurrency() >= 2 * WORTH && self.crew.jobs.is_worth_two_exchanges()
    }

    /// Starts the exchanges there is something for.
    fn exchange(&mut self) {
        let two = self.is_worth_two();
        let batch = if two {
            self.concurrency().div_ceil(2).min(BATCH)
        } else {
            BATCH
        };
        loop {
            let free = if self.takes_jobs() { self.free() } else { 0 };
            let sides = &self.sides;
            // In strict order a busy queue is waited for.
            let strict = self.lane.is_strict();
            let may_have = |nth: usize| sides[nth].may_have() && (strict || sides[nth].is_quiet());
            let next = match free {
                0 => None,
                _ => self.lane.pick(may_have),
            };
            let is_worth_a_second = two && free >= WORTH;
            let ready = |nth: &usize| {
                let side: &Side = &sides[*nth];
                let is_next = next == Some(*nth);
                // What is dry is asked as well if its turn would come, as it costs nothing.
                side.is_quiet() && (is_next || !side.endings.is_empty())
                    || is_next && is_worth_a_second && side.sending.len() == 1
            };
            let Some(nth) = (0..sides.len()).find(ready) else {
                return;
            };
            let its_turn = next == Some(nth) || next.is_none();
            let asked = if its_turn { free.min(batch) } else { 0 };
            self.drop_lost(nth);
            if asked == 0 && self.sides[nth].endings.is_empty() {
                continue;
            }
            self.asked += asked;
            let (trip, reply) = self.sides[nth].exchange(nth, batch, asked, &self.crew);
            let step: BoxFuture<'static, Step> =
                Box::pin(async move { Step::Replied(trip, reply.await) });
            match two {
                true => self.send_at_once(step),
                false => self.steps.push(step),
            }
        }
    }

    /// Has an exchange sent before the answer to the other one is looked at: else both would
    /// go, and come back, together, and the backend rest in between.
    fn send_at_once(&mut self, mut step: BoxFuture<'static, Step>) {
        let mut cx = Context::from_waker(Waker::noop());
        // Whoever is pushed is polled again, so no wake is missed.
        match step.as_mut().poll(&mut cx) {
            Poll::Ready(done) => self.steps.push(Box::pin(std::future::ready(done))),
            Poll::Pending => {
                self.steps.push(step);
                self.lets_send = true;
            }
        }
    }

    /// What was lost in the meantime is another's to record.
    fn drop_lost(&mut self, side: usize) {
        let endings = &mut self.sides[side].endings;
        if endings.iter().any(|ending| ending.attempt.is_lost()) {
            let lost: Vec<Ending> = endings
                .extract_if(.., |ending| ending.attempt.is_lost())
                .collect();
            let lost = lost.iter().map(|ending| (ending.mark, &*ending.attempt));
            self.lost(side, lost);
        }
    }

    /// Waits for work where there is none. A full lane leaves the bell to others.
    fn listen(&mut self) {
        let full = self.slots.taken() >= self.concurrency() || !self.takes_jobs();
        let free = self.free();
        for side in &mut self.sides {
            match full {
                true => side.forget(),
                false if self.lane.queues.len() > 1 => side.listen(&self.crew),
                // With one queue it is known who gets the free slots.
                false if free > 0 && side.dry && !side.is_claiming() => {
                    let asked = free.min(BATCH);
                    self.asked += asked;
                    let claim = side.claim_next(0, asked, &self.crew);
                    self.steps
                        .push(Box::pin(async move { Step::Came(claim.await) }));
                }
                false => {}
            }
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let again = self.sides.iter().filter_map(Side::again_at).min();
        let times = [again, self.slots.next_time(), self.last_words];
        times.into_iter().flatten().min()
    }

    fn is_done(&self) -> bool {
        if self.now.mode == Mode::Run {
            return false;
        }
        let idle = self.slots.counting() == 0 && self.reporting.is_empty();
        let mut sides = self.sides.iter();
        let recorded = sides
            .all(|side| side.endings.is_empty() && side.sending.is_empty() && !side.is_claiming());
        let spent = self.last_words.is_some_and(|at| at <= Instant::now());
        (idle && recorded) || spent
    }

    fn step(&mut self, step: Step) -> Result<(), JobError> {
        match step {
            Step::Replied(trip, reply) => return self.replied(trip, reply),
            Step::Came(reply) => return self.came(reply),
            Step::Rested(side) => self.sides[side].resting = false,
            Step::Reported(place) => {
                let (side, ending) = self.reporting.remove(place);
                self.sides[side].endings.push(ending);
            }
        }
        Ok(())
    }

    fn replied(&mut self, trip: usize, reply: Reply) -> Result<(), JobError> {
        self.asked -= reply.asked;
        let side = &mut self.sides[reply.side];
        let exchanged = match reply.answer {
            Ok(exchanged) => exchanged,
            Err(JobError::Closed) => return Err(JobError::Closed),
            Err(error) => {
                tracing::warn!(%error, queue = %side.queue, "the backend is asked again in a while");
                // In the order in which they came about.
                let mut endings = side.sending.remove(trip);
                endings.append(&mut side.endings);
                side.endings = endings;
                if std::mem::replace(&mut side.resting, true) {
                    return Ok(());
                }
                let mut rest = side.backoff.next();
                if self.now.mode != Mode::Run {
                    rest = rest.min(SHORT_REST);
                }
                let nth = reply.side;
                self.steps.push(Box::pin(async move {
                    tokio::time::sleep(rest).await;
                    Step::Rested(nth)
                }));
                return Ok(());
            }
        };
        side.backoff.reset();
        match exchanged.claimed.len() {
            _ if reply.asked == 0 => {}
            came if came < reply.asked => side.ran_dry(exchanged.again_in),
            _ => side.ran_full(),
        }
        let endings = side.sending.remove(trip);
        let mut ends = WorkerReport::default();
        for (ending, settled) in endings.iter().zip(&exchanged.settled) {
            match settled {
                Ok(state) => {
                    let what = ends.record(&ending.outcome, *state);
                    self.crew
                        .tell(&ending.attempt, what, ending.outcome.failure());
                }
                Err(error) => {
                    tracing::debug!(%error, "the end of an attempt was dropped");
                    ends.lost += 1;
                    self.crew.tell(&ending.attempt, "lost", None);
                }
            }
        }
        side.metrics.recorded(&ends);
        self.report.add(&ends);
        let marks = endings.iter().map(|ending| ending.mark);
        if !endings.is_empty() {
            self.crew.ledger.drop_all(marks);
        }
        if !exchanged.claimed.is_empty() {
            self.begin(reply.side, exchanged.claimed, reply.sent + self.crew.lease);
        }
        Ok(())
    }

    fn came(&mut self, reply: Reply) -> Result<(), JobError> {
        self.asked -= reply.asked;
        self.sides[reply.side].came(&reply);
        match reply.answer {
            Ok(exchanged) if !exchanged.claimed.is_empty() => {
                self.begin(reply.side, exchanged.claimed, reply.sent + self.crew.lease);
            }
            Err(JobError::Closed) => return Err(JobError::Closed),
            _ => {}
        }
        Ok(())
    }

    fn ordered(&mut self) {
        let before = self.now.mode;
        self.now = self.orders.borrow_and_update().clone();
        if self.now.mode == Mode::Now && before != Mode::Now {
            self.last_words = Some(Instant::now() + LAST_WORDS);
            for (place, attempt) in self.slots.all_counting() {
                self.abandon(place, attempt, "released", Outcome::Release);
            }
        }
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        self.sides.iter_mut().for_each(|side| side.tick(now));
        while let Some((attempt, place, over)) = self.slots.over(now) {
            let (why, outcome) = match over {
                Over::TimedOut(after) => ("timed_out", verdict::timed_out(&attempt.claimed, after)),
                Over::Stubborn => ("cancelled", Outcome::Cancel),
            };
            self.abandon(place, attempt, why, outcome);
        }
    }
}

/// Waits until one of the queues may have work.
async fn ring(sides: &mut [Side]) {
    std::future::poll_fn(|cx| {
        let mut rung = false;
        for side in sides.iter_mut() {
            rung |= side.poll_ring(cx);
        }
        if rung { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
