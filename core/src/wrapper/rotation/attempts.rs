//! The attempts of a rotation: how one begins, and what its end leads to.

use super::*;

impl Rotation {
    pub(super) async fn begin_or_refresh(&mut self, lease: Lease) -> Option<Turn> {
        let credential = lease.credential();
        // Taken before it is judged: what another refreshes in between is not stale.
        let token = credential.oauth().map(|_| credential.secret());
        let expired = credential
            .oauth()
            .is_some_and(|account| account.needs_refresh(self.wrapper.now()));
        match token.filter(|_| expired) {
            Some(stale) if self.refreshed.insert(credential.id().to_owned()) => {
                self.refresh_then_begin(lease, stale).await
            }
            _ => Some(self.begin(lease)),
        }
    }

    pub(super) async fn refresh_then_begin(&mut self, lease: Lease, stale: Secret) -> Option<Turn> {
        let since = self.wrapper.now();
        let credential = lease.credential().clone();
        let refreshed = match credential.oauth() {
            Some(account) => account.refresh(&stale).await,
            None => Ok(()),
        };
        match refreshed {
            Ok(()) => Some(self.begin(lease)),
            Err(fault) => {
                self.attempts += 1;
                let fault = fault.without(&credential.secret()).without(&stale);
                self.record(credential, since, Some(fault.clone()));
                self.conclude(lease, fault, None, None).await;
                None
            }
        }
    }

    fn begin(&mut self, lease: Lease) -> Turn {
        self.attempts += 1;
        let remaining = self.remaining();
        let credential = lease.credential().clone();
        let model = self
            .wrapper
            .targets
            .get(self.target)
            .and_then(|target| self.model(target))
            .or_else(|| credential.model().map(str::to_owned));
        self.step = Step::Running {
            lease,
            since: self.wrapper.now(),
            used: credential.oauth().map(|_| credential.secret()),
        };
        Turn {
            credential,
            target: self.target,
            model,
            patience: Patience {
                attempt: self.patience.attempt.min(remaining),
                idle: self.patience.idle,
            },
            number: self.attempts,
        }
    }

    pub(super) async fn conclude(
        &mut self,
        lease: Lease,
        fault: Fault,
        handed_on: Option<&str>,
        used: Option<Secret>,
    ) {
        let class = fault.class();
        if class == FaultClass::Provider {
            self.provider_faults += 1;
        }
        let credential = lease.credential();
        let refreshable = credential.oauth().is_some() && !self.refreshed.contains(credential.id());
        let cost = RetryBudget::cost(fault.reason);
        let situation = Situation {
            fault: &fault,
            attempts: self.attempts,
            provider_faults: self.provider_faults,
            handed_on: handed_on.is_some(),
            refreshable,
            has_fallback: self.has_fallback(),
            budget: true,
            remaining: self.remaining(),
        };
        let policy = &self.wrapper.policy;
        let jitter = fastrand::f64();
        let mut decision = decide(&situation, policy, jitter);
        let spends = class == FaultClass::Provider && !matches!(decision.next, Next::Stop(_));
        if spends {
            if self.wrapper.budget.spend(cost) {
                self.spent += cost;
            } else {
                decision = decide(
                    &Situation {
                        budget: false,
                        ..situation
                    },
                    policy,
                    jitter,
                );
            }
        }
        let wanted = self.ask.credential.as_deref() == Some(lease.credential().id());
        if wanted && decision.next != Next::Refresh {
            self.avoid = self.ask.credential.take();
        }
        let marks = self.marks(&decision, &fault);
        let settlement = Settlement {
            fault: Some(class),
            tokens: None,
            marks,
        };
        match decision.next {
            Next::Refresh => {
                let stale = used.unwrap_or_else(|| lease.credential().secret());
                self.step = Step::Refresh { lease, stale };
            }
            Next::Retry(after) => {
                lease.settle(settlement).await;
                self.step = Step::Pick { after };
            }
            Next::Fallback => {
                lease.settle(settlement).await;
                self.fall_back();
            }
            Next::Stop(verdict) => {
                lease.settle(settlement).await;
                self.step = Step::Ended(Some(self.verdict(verdict, fault, handed_on)));
            }
        }
    }

    fn marks(&self, decision: &Decision, fault: &Fault) -> Vec<(Marked, Mark)> {
        let now = self.wrapper.now();
        let mark = |kind, wait: Duration| Mark {
            kind,
            reason: fault.reason.as_str().to_owned(),
            until: Some(now.saturating_add(crate::clock::millis(wait))),
        };
        let marked = match decision.penalty {
            Penalty::None => None,
            Penalty::Cool(wait) => Some((Marked::Group, mark(MarkKind::Cooling, wait))),
            Penalty::ParkGroup(wait) => Some((Marked::Group, mark(MarkKind::Parked, wait))),
            Penalty::Park(wait) => Some((Marked::Credential, mark(MarkKind::Parked, wait))),
            Penalty::CoolModel(wait) => {
                let asked = self.trail.last().and_then(|attempt| attempt.model.clone());
                let target = asked.map_or(Marked::Credential, Marked::Model);
                Some((target, mark(MarkKind::Cooling, wait)))
            }
        };
        marked.into_iter().collect()
    }

    fn verdict(&self, verdict: Verdict, fault: Fault, handed_on: Option<&str>) -> Error {
        match verdict {
            Verdict::Rejected => Error::RequestRejected { fault },
            Verdict::Exhausted => Error::AttemptsExhausted {
                attempts: self.attempts,
                fault,
            },
            Verdict::Budget => Error::RetryBudgetExhausted { fault },
            Verdict::Interrupted => Error::StreamInterrupted {
                partial: handed_on.unwrap_or_default().to_owned(),
                fault,
            },
            Verdict::Deadline => Error::DeadlineExceeded {
                after: Duration::from_millis(self.deadline.saturating_sub(self.started)),
                last: Some(fault),
            },
        }
    }

    pub(super) fn record(
        &mut self,
        credential: Credential,
        since: EpochMillis,
        fault: Option<Fault>,
    ) {
        let target = self.wrapper.targets.get(self.target);
        let model = target
            .and_then(|target| self.model(target))
            .or_else(|| credential.model().map(str::to_owned));
        self.trail.push(Attempt {
            credential: credential.id().to_owned(),
            provider: target.map_or_else(String::new, |target| target.provider.name().to_owned()),
            model,
            fault,
            duration_ms: self.wrapper.now().saturating_sub(since),
        });
    }

    // The first target serves the call's own model; a fallback brings its own.
}
