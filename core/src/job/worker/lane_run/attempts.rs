//! The attempts of a lane, from the claim to the end that is to be recorded.

use std::sync::Arc;

use super::{LaneRun, Step};
use crate::job::worker::attempt::Attempt;
use crate::job::worker::attempt_run::{self, Ended, Started};
use crate::job::worker::control::Mode;
use crate::job::worker::renewal::Notice;
use crate::job::worker::side::Ending;
use crate::job::worker::verdict::{self, End};
use crate::job::{Claimed, Outcome};

impl LaneRun {
    pub(super) fn begin(&mut self, side: usize, claimed: Vec<Claimed>, until: std::time::Instant) {
        let mut begun = std::time::Instant::now();
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
                    self.judge(side, attempt, mark, end);
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
        let Some(running) = self.slots.free(ended.place) else {
            return;
        };
        if running.counts {
            self.judge(running.side, running.attempt, running.mark, ended.end);
        }
    }

    fn judge(&mut self, side: usize, attempt: Arc<Attempt>, mark: usize, end: End) {
        let outcome = verdict::outcome(&attempt.claimed, end, attempt.cancel_requested());
        self.end(side, attempt, mark, outcome);
    }

    /// What came of an attempt is to be recorded, behind its last news.
    fn end(&mut self, side: usize, attempt: Arc<Attempt>, mark: usize, outcome: Outcome) {
        attempt.end();
        self.sides[side].metrics.ended(attempt.begun.elapsed());
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
        self.reporting += 1;
        self.steps.push(Box::pin(async move {
            // Without an answer the desk is gone: the end goes first.
            let _ = recorded.await;
            Step::Reported(side, ending)
        }));
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::CancelRequested(attempt) => {
                self.slots.hurry(&attempt);
            }
            Notice::Lost(attempt) => {
                let place = self.slots.hurry(&attempt);
                if let Some((mark, _)) = place.and_then(|place| self.slots.discount(place)) {
                    self.report.lost += 1;
                    self.crew.ledger.drop_all(std::iter::once(mark));
                }
            }
        }
    }

    /// Waits for an attempt no longer. It keeps its slot until its task is gone.
    pub(super) fn abandon(&mut self, place: usize, attempt: Arc<Attempt>, outcome: Outcome) {
        attempt.cancel();
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
