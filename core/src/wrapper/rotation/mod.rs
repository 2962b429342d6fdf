//! One call's way through the pool: whose turn it is, what came of it, what next.
//!
//! It sends nothing. Whoever does (the wrapper's own loop, or a host's loop around
//! a client of the user's) asks [`Rotation::next`] for a turn and reports with
//! [`Rotation::succeed`] or [`Rotation::fail`]; waits and refreshes happen in `next`.

mod attempts;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{Ask, CallLimits};
use super::decide::{
    Decision, Next, Out, Penalty, Situation, Verdict, WhenOut, decide, decide_when_out,
};
use super::outcome::{Attempt, Outcome};
use super::retry_budget::RetryBudget;
use super::{Inner, Target};
use crate::clock::EpochMillis;
use crate::credential::pool::{Lease, Mark, MarkKind, Marked, Settlement, Want};
use crate::credential::{Credential, Secret};
use crate::error::Error;
use crate::provider::{Fault, FaultClass, Patience, Response};

/// A turn: with whom to try now.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The credential to use.
    pub credential: Credential,
    /// The place in the fallback chain, from 0.
    pub target: usize,
    /// The model to ask for: the call's, the target's or the credential's.
    pub model: Option<String>,
    /// How long the attempt may take.
    pub patience: Patience,
    /// Which attempt of the call this is, from 1.
    pub number: u32,
}

/// One call's way through the pool.
#[derive(Debug)]
pub struct Rotation {
    wrapper: Arc<Inner>,
    ask: Ask,
    /// Who was wanted and failed: what is behind it may be down, which rests nobody.
    avoid: Option<String>,
    target: usize,
    attempts: u32,
    provider_faults: u32,
    spent: u32,
    refreshed: HashSet<String>,
    trail: Vec<Attempt>,
    started: EpochMillis,
    deadline: EpochMillis,
    patience: Patience,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Pick {
        after: Duration,
    },
    Refresh {
        lease: Lease,
        stale: Secret,
    },
    Running {
        lease: Lease,
        since: EpochMillis,
        // The token of an account as the attempt began: it may change meanwhile.
        used: Option<Secret>,
    },
    Ended(Option<Error>),
}

impl Rotation {
    pub(super) fn new(wrapper: Arc<Inner>, ask: Ask) -> Self {
        let started = wrapper.now();
        let deadline = started.saturating_add(wrapper.deadline_ms);
        let patience = wrapper.patience;
        Self {
            wrapper,
            ask,
            avoid: None,
            target: 0,
            attempts: 0,
            provider_faults: 0,
            spent: 0,
            refreshed: HashSet::new(),
            trail: Vec::new(),
            started,
            deadline,
            patience,
            step: Step::Pick {
                after: Duration::ZERO,
            },
        }
    }

    /// The same with limits of its own, within the wrapper's.
    #[must_use]
    pub fn within(mut self, limits: CallLimits) -> Self {
        if let Some(deadline) = limits.deadline {
            let own = self.started.saturating_add(crate::clock::millis(deadline));
            self.deadline = self.deadline.min(own);
        }
        if let Some(attempt) = limits.attempt {
            self.patience.attempt = attempt;
        }
        self
    }

    /// Waits for the next turn: through back-off, a token's refresh, or for a free credential.
    ///
    /// # Errors
    /// The call's error, when it has come to an end.
    pub async fn next(&mut self) -> Result<Turn, Error> {
        loop {
            if self.wrapper.is_closed() {
                return Err(Error::Closed);
            }
            match std::mem::replace(&mut self.step, Step::Ended(None)) {
                Step::Ended(error) => {
                    let error = error.unwrap_or(Error::Closed);
                    self.step = Step::Ended(Some(error.clone()));
                    return Err(error);
                }
                // A turn that nobody reported on was given up: its lease goes back.
                Step::Running { .. } => {
                    self.step = Step::Pick {
                        after: Duration::ZERO,
                    }
                }
                Step::Refresh { lease, stale } => {
                    self.refreshed.insert(lease.credential().id().to_owned());
                    if let Some(turn) = self.refresh_then_begin(lease, stale).await {
                        return Ok(turn);
                    }
                }
                Step::Pick { after } => {
                    if !after.is_zero() {
                        // Left behind in case this wait is cancelled: the next one starts over.
                        self.step = Step::Pick { after };
                        tokio::time::sleep(after).await;
                    }
                    if let Some(turn) = self.pick().await? {
                        return Ok(turn);
                    }
                }
            }
        }
    }

    /// Reports that the turn's attempt succeeded.
    pub async fn succeed(&mut self, tokens: Option<u64>) {
        let Step::Running { lease, since, .. } =
            std::mem::replace(&mut self.step, Step::Ended(None))
        else {
            return;
        };
        self.record(lease.credential().clone(), since, None);
        self.wrapper.budget.earn(self.spent);
        lease
            .settle(Settlement {
                fault: None,
                tokens,
                marks: Vec::new(),
            })
            .await;
    }

    /// Reports that the turn's attempt failed. `handed_on`: part of its answer was used already.
    ///
    /// Returns whether the call goes on: if not, [`Rotation::next`] gives its error.
    pub async fn fail(&mut self, fault: Fault, handed_on: Option<&str>) -> bool {
        let Step::Running { lease, since, used } =
            std::mem::replace(&mut self.step, Step::Ended(None))
        else {
            return false;
        };
        let mut fault = fault.without(&lease.credential().secret());
        if let Some(used) = &used {
            fault = fault.without(used);
        }
        self.record(lease.credential().clone(), since, Some(fault.clone()));
        self.conclude(lease, fault, handed_on, used).await;
        !matches!(self.step, Step::Ended(_))
    }

    /// Each attempt so far.
    #[must_use]
    pub fn trail(&self) -> &[Attempt] {
        &self.trail
    }

    /// The call's outcome, given its end.
    pub(super) fn outcome(self, result: Result<Response, Error>) -> Outcome {
        Outcome {
            result,
            attempts: self.attempts,
            duration: Duration::from_millis(self.wrapper.now().saturating_sub(self.started)),
            trail: self.trail,
            cached: false,
        }
    }

    async fn pick(&mut self) -> Result<Option<Turn>, Error> {
        let wrapper = Arc::clone(&self.wrapper);
        let Some(target) = wrapper.targets.get(self.target) else {
            return self.end(Error::Closed);
        };
        let remaining = self.remaining();
        if remaining.is_zero() {
            let error = self.too_late();
            return self.end(error);
        }
        let model = self.model(target);
        let want = Want {
            model: model.as_deref(),
            session: self.ask.session.as_deref(),
            credential: self.ask.credential.as_deref(),
            avoid: self.avoid.as_deref(),
            tokens: self.ask.tokens,
        };
        match target.pool.acquire(&want, remaining).await {
            Ok(lease) => Ok(self.begin_or_refresh(lease).await),
            Err(Error::AllCooling {
                earliest,
                credentials,
            }) => self.when_out(
                target,
                earliest,
                Error::AllCooling {
                    earliest,
                    credentials,
                },
            ),
            Err(Error::DeadlineExceeded { .. }) => {
                let error = self.too_late();
                self.end(error)
            }
            Err(other) => self.end(other),
        }
    }

    fn when_out(
        &mut self,
        target: &Target,
        earliest: Option<EpochMillis>,
        error: Error,
    ) -> Result<Option<Turn>, Error> {
        let now = self.wrapper.now();
        let out = Out {
            earliest: earliest.map(|at| Duration::from_millis(at.saturating_sub(now))),
            remaining: self.remaining(),
            lone: target.pool.len() == 1,
            attempted: self.attempts > 0,
            has_fallback: self.has_fallback(),
        };
        match decide_when_out(&out, &self.wrapper.policy) {
            // A millisecond more, so that the mark has surely ended.
            WhenOut::Wait(wait) => {
                self.step = Step::Pick {
                    after: wait + Duration::from_millis(1),
                }
            }
            WhenOut::Fallback => self.fall_back(),
            WhenOut::Stop => return self.end(error),
        }
        Ok(None)
    }

    // A token known to be stale is not worth a request.
    fn model(&self, target: &Target) -> Option<String> {
        let (first, second) = if self.target == 0 {
            (&self.ask.model, &target.model)
        } else {
            (&target.model, &self.ask.model)
        };
        first.clone().or_else(|| second.clone())
    }

    fn has_fallback(&self) -> bool {
        self.target + 1 < self.wrapper.targets.len()
    }

    fn fall_back(&mut self) {
        self.target += 1;
        self.provider_faults = 0;
        self.step = Step::Pick {
            after: Duration::ZERO,
        };
    }

    fn remaining(&self) -> Duration {
        Duration::from_millis(self.deadline.saturating_sub(self.wrapper.now()))
    }

    fn too_late(&self) -> Error {
        Error::DeadlineExceeded {
            after: Duration::from_millis(self.deadline.saturating_sub(self.started)),
            last: self.trail.last().and_then(|attempt| attempt.fault.clone()),
        }
    }

    fn end<T>(&mut self, error: Error) -> Result<T, Error> {
        self.step = Step::Ended(Some(error.clone()));
        Err(error)
    }
}
