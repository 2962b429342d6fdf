//! The attempts of a lane, from the claim to the end that is to be recorded.

use std::sync::Arc;
use std::time::Instant;

use super::{LaneRun, Step};
use crate::job::worker::attempt::Attempt;
use crate::job::worker::attempt_run::{self, Ended, Started};
use crate::job::worker::control::Mode;
use crate::job::worker::renewal::Notice;
use crate::job::worker::report::WorkerReport;
use crate::job::worker::side::Ending;
use crate::job::worker::slots::Running;
use crate::job::worker::verdict::{self, End};
use crate::job::{Claimed, Outcome};

impl LaneRun {
    pub(super) fn begin(&mut self, side: usize, claimed: Vec<Claimed>, until: Instant) {
        let mut begun = Instant::now();
        let (now, metrics) = (self.crew.clock.now(), &self.sides[side].metrics);
        let begin = |claimed: Claimed| {
            metrics.claimed(now.saturating_sub(claimed.run_at));
            self.crew.attempt(claimed, begun)
        };
        let attempts: Vec<Arc<Attempt>> = claimed.into_iter().map(begin).collect();
        let marks = self.crew.ledger.hold(&attempts, until, self.number);
        let crew = Arc::clone(&self.crew);
        for (attempt, mark) in attempts.into_iter().zip(marks) {
            // Claimed when it was told to stop.
            if self.now.mode != Mode::Run {
                self.end(side, attempt, mark, Outcome::Release);
                continue;
            }
            let Some(chosen) = crew.handlers.of(attempt.claimed.spec.kind()) else {
                let outcome = verdict::unknown_kind(&attempt.claimed);
                self.end(side, attempt, mark, outcome);
                continue;
            };
            match attempt_run::start(chosen, &attempt, &mut begun) {
                Started::Ended(end) => {
                    self.at_once += 1;
                    self.judge(side, attempt, mark, end, begun);
                }
                Started::Goes(work) => {
                    let timeout = crew.timeout(&attempt.claimed);
                    let place = self.slots.take(attempt, mark, side, timeout);
                    let pace = Arc::clone(&chosen.pace);
                    let task = attempt_run::spawn(work, place, pace, self.ended.0.clone());
                    self.slots.set_task(place, task);
                }
            }
        }
    }

    pub(super) fn task_ended(&mut self, ended: Ended) {
        let Some((attempt, side)) = self.slots.at(ended.place) else {
            return;
        };
        let stuck = || self.sides[side].metrics.stuck();
        if attempt.holds.outlast(ended.place, &self.ended.0, stuck) {
            let attempt = Arc::clone(attempt);
            if let Some((mark, side)) = self.slots.discount(ended.place) {
                self.judge(side, attempt, mark, ended.end, Instant::now());
            }
            return;
        }
        let Some(running) = self.slots.free(ended.place) else {
            return;
        };
        if running.counts {
            let Running {
                side,
                attempt,
                mark,
                ..
            } = running;
            self.judge(side, attempt, mark, ended.end, Instant::now());
        }
    }

    fn judge(&mut self, side: usize, attempt: Arc<Attempt>, mark: usize, end: End, at: Instant) {
        let outcome = verdict::outcome(&attempt.claimed, end, attempt.cancel_requested());
        self.end_at(at, side, attempt, mark, outcome);
    }

    fn end(&mut self, side: usize, attempt: Arc<Attempt>, mark: usize, outcome: Outcome) {
        self.end_at(Instant::now(), side, attempt, mark, outcome);
    }

    /// What came of an attempt is to be recorded, behind its last news.
    fn end_at(
        &mut self,
        at: Instant,
        side: usize,
        attempt: Arc<Attempt>,
        mark: usize,
        outcome: Outcome,
    ) {
        attempt.end();
        let took = at.saturating_duration_since(attempt.begun);
        self.sides[side].metrics.ended(took);
        let last_news = attempt.last_news();
        let ending = Ending {
            attempt,
            mark,
            outcome,
        };
        let Some(recorded) = last_news else {
            self.sides[side].endings.push(ending);
            return;
        };
        let place = self.reporting.insert((side, ending));
        self.steps.push(Box::pin(async move {
            // Without an answer the desk is gone: the end goes first.
            let _ = recorded.await;
            Step::Reported(place)
        }));
    }

    /// What is still to be recorded as the lane ends never will be, as far as it knows: nor
    /// what still runs, where the backend was closed under it.
    pub(super) fn leave(&mut self) {
        for (place, attempt) in self.slots.all_counting() {
            self.abandon(place, attempt, "released", Outcome::Release);
        }
        for (side, ending) in std::mem::take(&mut self.reporting)
            .into_iter()
            .map(|it| it.1)
        {
            self.sides[side].endings.push(ending);
        }
        for side in &self.sides {
            let sending = side.sending.iter().flat_map(|(_, endings)| endings);
            let left = sending.chain(&side.endings);
            let mut ends = WorkerReport::default();
            for ending in left {
                ends.unrecorded += 1;
                let failure = ending.outcome.failure();
                self.crew.tell(&ending.attempt, "unrecorded", failure);
            }
            side.metrics.recorded(&ends);
            self.report.add(&ends);
        }
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::CancelRequested(attempt) => {
                self.slots.hurry(&attempt);
            }
            Notice::Lost(attempt) => {
                let place = self.slots.hurry(&attempt);
                if let Some((mark, side)) = place.and_then(|place| self.slots.discount(place)) {
                    self.lost(side, std::iter::once((mark, &*attempt)));
                }
            }
        }
    }

    /// These are another's: their ends are dropped.
    pub(super) fn lost<'a>(
        &mut self,
        side: usize,
        lost: impl Iterator<Item = (usize, &'a Attempt)>,
    ) {
        let mut ends = WorkerReport::default();
        let marks = lost.map(|(mark, attempt)| {
            ends.lost += 1;
            self.crew.tell(attempt, "lost", None);
            mark
        });
        self.crew.ledger.drop_all(marks);
        self.sides[side].metrics.recorded(&ends);
        self.report.add(&ends);
    }

    /// Waits for an attempt no longer. It keeps its slot until nothing of it is left.
    pub(super) fn abandon(
        &mut self,
        place: usize,
        attempt: Arc<Attempt>,
        why: &'static str,
        outcome: Outcome,
    ) {
        attempt.give_up(why);
        self.slots.abort(place);
        let Some((mark, side)) = self.slots.discount(place) else {
            return;
        };
        let outcome = match attempt.cancel_requested() {
            true => Outcome::Cancel,
            false => outcome,
        };
        self.end(side, attempt, mark, outcome);
    }
}
