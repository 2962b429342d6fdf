//! Every rule of retry and rotation. Pure: no clock, no I/O, no randomness.
//!
//! [`decide`] says what follows from one fault; [`decide_when_out`] what follows
//! when no credential can be used. The tables in the tests are the rules, one row each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::provider::{Fault, FaultClass, FaultReason};

/// The numbers that the rules go by. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Retries after the first attempt. Default: 5.
    pub max_retries: u32,
    /// How long a throttled credential rests when the endpoint does not say. Default: 30,000.
    pub cooldown_ms: u64,
    /// The shortest rest, so that `Retry-After: 0` does not hammer. Default: 1,000.
    pub min_cooldown_ms: u64,
    /// The longest rest before it is tried again, whatever the endpoint says. Default: 3,600,000.
    pub max_cooldown_ms: u64,
    /// How long a refused credential, or one out of quota, rests. Default: 3,600,000.
    pub park_ms: u64,
    /// How long a model that a credential does not have is not asked of it. Default: 600,000.
    pub model_cooldown_ms: u64,
    /// The first back-off after an endpoint's own failure; it doubles. Default: 250.
    pub backoff_ms: u64,
    /// The longest back-off. Default: 8,000.
    pub max_backoff_ms: u64,
    /// Failures of one endpoint in one call before the next in the fallback chain. Default: 2.
    pub fallback_after: u32,
    /// Whether to wait, within the deadline, when all credentials rest. Default: no.
    pub wait_when_cooling: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_retries: 5,
            cooldown_ms: 30_000,
            min_cooldown_ms: 1_000,
            max_cooldown_ms: 3_600_000,
            park_ms: 3_600_000,
            model_cooldown_ms: 600_000,
            backoff_ms: 250,
            max_backoff_ms: 8_000,
            fallback_after: 2,
            wait_when_cooling: false,
        }
    }
}

/// Where a call stands when an attempt has failed.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// What happened.
    pub fault: &'a Fault,
    /// Attempts made in this call, this one included.
    pub attempts: u32,
    /// Failures of the endpoint at this target in this call, this one included.
    pub provider_faults: u32,
    /// Whether a piece of the answer has been handed on.
    pub handed_on: bool,
    /// Whether the credential has a token that can be refreshed, and was not yet in this call.
    pub refreshable: bool,
    /// Whether there is a further target in the fallback chain.
    pub has_fallback: bool,
    /// Whether the wrapper's retry budget has room.
    pub budget: bool,
    /// The time left until the call's deadline.
    pub remaining: Duration,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do to the credential.
    pub penalty: Penalty,
    /// What to do with the call.
    pub next: Next,
}

/// What a credential gets for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Penalty {
    /// Nothing: it is not to blame.
    None,
    /// A rest for itself and its quota group.
    Cool(Duration),
    /// A long rest for itself and its quota group: out of quota or money.
    ParkGroup(Duration),
    /// A long rest for itself alone: it is refused.
    Park(Duration),
    /// A rest for this model of it.
    CoolModel(Duration),
}

/// How a call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after so long, with whichever credential's turn it is.
    Retry(Duration),
    /// Refresh this credential's token, then try it again.
    Refresh,
    /// Go to the next target of the fallback chain.
    Fallback,
    /// Give up.
    Stop(Verdict),
}

/// Why a call was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request itself is at fault.
    Rejected,
    /// No attempts are left.
    Exhausted,
    /// The retry budget is used up.
    Budget,
    /// Part of the answer was handed on already.
    Interrupted,
    /// The deadline would pass first.
    Deadline,
}

/// What follows from a fault. `jitter` is in `0.0..1.0`.
#[must_use]
pub fn decide(situation: &Situation<'_>, policy: &Policy, jitter: f64) -> Decision {
    let penalty = penalty(situation, policy);
    Decision {
        penalty,
        next: next(situation, policy, jitter, penalty),
    }
}

fn penalty(situation: &Situation<'_>, policy: &Policy) -> Penalty {
    let fault = situation.fault;
    let hinted = |default: u64| {
        let wanted = fault.retry_after.unwrap_or(Duration::from_millis(default));
        wanted.clamp(
            Duration::from_millis(policy.min_cooldown_ms),
            Duration::from_millis(policy.max_cooldown_ms.max(policy.min_cooldown_ms)),
        )
    };
    match fault.class() {
        FaultClass::Request | FaultClass::Provider => Penalty::None,
        FaultClass::Model => Penalty::CoolModel(hinted(policy.model_cooldown_ms)),
        FaultClass::Throttle => Penalty::Cool(hinted(policy.cooldown_ms)),
        FaultClass::Credential => match fault.reason {
            FaultReason::QuotaExhausted | FaultReason::Billing => {
                Penalty::ParkGroup(hinted(policy.park_ms))
            }
            FaultReason::Unauthorized if situation.refreshable && !situation.handed_on => {
                Penalty::None
            }
            _ => Penalty::Park(hinted(policy.park_ms)),
        },
    }
}

fn next(situation: &Situation<'_>, policy: &Policy, jitter: f64, penalty: Penalty) -> Next {
    let fault = situation.fault;
    if situation.handed_on {
        return Next::Stop(Verdict::Interrupted);
    }
    if fault.class() == FaultClass::Request {
        return Next::Stop(Verdict::Rejected);
    }
    if situation.attempts > policy.max_retries {
        return Next::Stop(Verdict::Exhausted);
    }
    if situation.remaining.is_zero() {
        return Next::Stop(Verdict::Deadline);
    }
    if fault.class() != FaultClass::Provider {
        let refused = fault.reason == FaultReason::Unauthorized && penalty == Penalty::None;
        return if refused {
            Next::Refresh
        } else {
            Next::Retry(Duration::ZERO)
        };
    }
    if !situation.budget {
        return Next::Stop(Verdict::Budget);
    }
    if situation.has_fallback && situation.provider_faults >= policy.fallback_after {
        return Next::Fallback;
    }
    let wait = backoff(situation, policy, jitter);
    if wait < situation.remaining {
        Next::Retry(wait)
    } else if situation.has_fallback {
        Next::Fallback
    } else {
        Next::Stop(Verdict::Deadline)
    }
}

// Half of it is sure, half is drawn: callers that failed together do not return together.
fn backoff(situation: &Situation<'_>, policy: &Policy, jitter: f64) -> Duration {
    let doublings = situation.provider_faults.saturating_sub(1).min(20);
    let full = policy
        .backoff_ms
        .saturating_mul(1 << doublings)
        .min(policy.max_backoff_ms);
    let drawn = Duration::from_millis(full).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    let asked = situation.fault.retry_after.unwrap_or_default();
    drawn.max(asked.min(Duration::from_millis(policy.max_cooldown_ms)))
}

/// Where a call stands when no credential can be used.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// How long until the first comes back; `None` when none will by itself.
    pub earliest: Option<Duration>,
    /// The time left until the call's deadline.
    pub remaining: Duration,
    /// Whether the pool has a single credential.
    pub lone: bool,
    /// Whether an attempt was made in this call.
    pub attempted: bool,
    /// Whether there is a further target in the fallback chain.
    pub has_fallback: bool,
}

/// What to do when no credential can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenOut {
    /// Sleep once for so long, then look again.
    Wait(Duration),
    /// Go to the next target of the fallback chain.
    Fallback,
    /// Give up.
    Stop,
}

/// What follows when no credential can be used.
#[must_use]
pub fn decide_when_out(out: &Out, policy: &Policy) -> WhenOut {
    if out.has_fallback {
        return WhenOut::Fallback;
    }
    // A lone credential was asked to wait by the endpoint itself: within the
    // deadline, doing so is the retry.
    let may_wait = policy.wait_when_cooling || (out.lone && out.attempted);
    match out.earliest {
        Some(wait) if may_wait && wait < out.remaining => WhenOut::Wait(wait),
        _ => WhenOut::Stop,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
