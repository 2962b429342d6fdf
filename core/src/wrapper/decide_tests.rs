//! The rules as tables: a row is a rule.

use proptest::prelude::*;

use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

fn situation(fault: &Fault) -> Situation<'_> {
    Situation {
        fault,
        attempts: 1,
        provider_faults: 1,
        handed_on: false,
        refreshable: false,
        has_fallback: false,
        budget: true,
        remaining: S(300),
    }
}

fn fault(reason: FaultReason) -> Fault {
    Fault::new(reason, "said")
}

fn hinted(reason: FaultReason, wait: Duration) -> Fault {
    fault(reason).with_retry_after(Some(wait))
}

#[test]
fn each_fault_has_its_penalty_and_its_next_step() {
    use FaultReason::*;
    let hour = S(3600);
    let now = Next::Retry(Duration::ZERO);
    let rows: Vec<(&str, Fault, Penalty, Next)> = vec![
        (
            "a bad request is returned",
            fault(BadRequest),
            Penalty::None,
            Next::Stop(Verdict::Rejected),
        ),
        (
            "a prompt too long is returned",
            fault(ContextTooLong),
            Penalty::None,
            Next::Stop(Verdict::Rejected),
        ),
        (
            "a policy refusal is returned",
            fault(ContentPolicy),
            Penalty::None,
            Next::Stop(Verdict::Rejected),
        ),
        (
            "a body too large is returned",
            fault(TooLarge),
            Penalty::None,
            Next::Stop(Verdict::Rejected),
        ),
        (
            "output that is no text is returned",
            fault(InvalidOutput),
            Penalty::None,
            Next::Stop(Verdict::Rejected),
        ),
        (
            "a refused key is parked alone",
            fault(Unauthorized),
            Penalty::Park(hour),
            now,
        ),
        (
            "a forbidden key is parked alone",
            fault(Forbidden),
            Penalty::Park(hour),
            now,
        ),
        (
            "an account to log in is parked",
            fault(LoginRequired),
            Penalty::Park(hour),
            now,
        ),
        (
            "a discontinued plan is parked",
            fault(Discontinued),
            Penalty::Park(hour),
            now,
        ),
        (
            "no money parks the group",
            fault(Billing),
            Penalty::ParkGroup(hour),
            now,
        ),
        (
            "no quota parks the group",
            fault(QuotaExhausted),
            Penalty::ParkGroup(hour),
            now,
        ),
        (
            "a quota's own reset time is kept",
            hinted(QuotaExhausted, S(60)),
            Penalty::ParkGroup(S(60)),
            now,
        ),
        (
            "a throttle cools for the default",
            fault(RateLimited),
            Penalty::Cool(S(30)),
            now,
        ),
        (
            "a throttle cools as asked",
            hinted(RateLimited, S(7)),
            Penalty::Cool(S(7)),
            now,
        ),
        (
            "asked for nothing, it rests a second",
            hinted(RateLimited, S(0)),
            Penalty::Cool(S(1)),
            now,
        ),
        (
            "asked for a week, it is tried in an hour",
            hinted(RateLimited, S(604_800)),
            Penalty::Cool(hour),
            now,
        ),
        (
            "a busy account rests a second",
            hinted(AccountBusy, S(1)),
            Penalty::Cool(S(1)),
            now,
        ),
        (
            "an unknown model cools that model",
            fault(ModelNotFound),
            Penalty::CoolModel(S(600)),
            now,
        ),
        (
            "an overload blames nobody",
            fault(Overloaded),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a server error blames nobody",
            fault(ServerError),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a lost connection blames nobody",
            fault(Connect),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a timeout blames nobody",
            fault(Timeout),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a stall blames nobody",
            fault(Stalled),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a cut stream blames nobody",
            fault(Truncated),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a garbled answer blames nobody",
            fault(MalformedResponse),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "an empty answer blames nobody",
            fault(EmptyResponse),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "a crash blames nobody",
            fault(Crashed),
            Penalty::None,
            Next::Retry(MS(125)),
        ),
        (
            "an overloaded endpoint is left alone as asked",
            hinted(Overloaded, S(3)),
            Penalty::None,
            Next::Retry(S(3)),
        ),
    ];
    for (rule, fault, penalty, next) in rows {
        let decision = decide(&situation(&fault), &Policy::default(), 0.0);
        assert_eq!(decision, Decision { penalty, next }, "{rule}");
    }
}

#[test]
fn the_state_of_the_call_overrides() {
    use FaultReason::*;
    type Change = fn(&mut Situation<'_>);
    let rows: Vec<(&str, Fault, Change, Next)> = vec![
        (
            "an expired token is refreshed",
            fault(Unauthorized),
            |s| s.refreshable = true,
            Next::Refresh,
        ),
        (
            "not when attempts are used up",
            fault(Unauthorized),
            |s| {
                s.refreshable = true;
                s.attempts = 6
            },
            Next::Stop(Verdict::Exhausted),
        ),
        (
            "the sixth failure is the last",
            fault(RateLimited),
            |s| s.attempts = 6,
            Next::Stop(Verdict::Exhausted),
        ),
        (
            "the fifth is not",
            fault(RateLimited),
            |s| s.attempts = 5,
            Next::Retry(Duration::ZERO),
        ),
        (
            "after a piece nothing is repeated",
            fault(Truncated),
            |s| s.handed_on = true,
            Next::Stop(Verdict::Interrupted),
        ),
        (
            "not even for a refresh",
            fault(Unauthorized),
            |s| {
                s.refreshable = true;
                s.handed_on = true
            },
            Next::Stop(Verdict::Interrupted),
        ),
        (
            "no budget, no retry at an endpoint in trouble",
            fault(ServerError),
            |s| s.budget = false,
            Next::Stop(Verdict::Budget),
        ),
        (
            "rotation costs no budget",
            fault(RateLimited),
            |s| s.budget = false,
            Next::Retry(Duration::ZERO),
        ),
        (
            "the second failure goes to the fallback",
            fault(ServerError),
            |s| {
                s.has_fallback = true;
                s.provider_faults = 2
            },
            Next::Fallback,
        ),
        (
            "the first does not",
            fault(ServerError),
            |s| s.has_fallback = true,
            Next::Retry(MS(125)),
        ),
        (
            "a back-off past the deadline stops",
            hinted(Overloaded, S(400)),
            |_| {},
            Next::Stop(Verdict::Deadline),
        ),
        (
            "or goes to the fallback",
            hinted(Overloaded, S(400)),
            |s| s.has_fallback = true,
            Next::Fallback,
        ),
        (
            "no time left stops",
            fault(RateLimited),
            |s| s.remaining = Duration::ZERO,
            Next::Stop(Verdict::Deadline),
        ),
        (
            "back-off doubles",
            fault(ServerError),
            |s| s.provider_faults = 3,
            Next::Retry(MS(500)),
        ),
        (
            "up to its limit",
            fault(ServerError),
            |s| s.provider_faults = 30,
            Next::Retry(S(4)),
        ),
    ];
    for (rule, fault, change, next) in rows {
        let mut now = situation(&fault);
        change(&mut now);
        assert_eq!(decide(&now, &Policy::default(), 0.0).next, next, "{rule}");
    }
}

#[test]
fn when_all_rest_it_waits_only_if_that_can_help() {
    let out = Out {
        earliest: Some(S(5)),
        remaining: S(60),
        lone: false,
        attempted: false,
        has_fallback: false,
    };
    let patient = Policy {
        wait_when_cooling: true,
        ..Policy::default()
    };
    let plain = Policy::default();
    let rows: Vec<(&str, Out, &Policy, WhenOut)> = vec![
        ("by default it says so at once", out, &plain, WhenOut::Stop),
        (
            "asked to, it waits to the earliest",
            out,
            &patient,
            WhenOut::Wait(S(5)),
        ),
        (
            "not past the deadline",
            Out {
                remaining: S(5),
                ..out
            },
            &patient,
            WhenOut::Stop,
        ),
        (
            "not for what never comes back",
            Out {
                earliest: None,
                ..out
            },
            &patient,
            WhenOut::Stop,
        ),
        (
            "a lone credential obeys Retry-After",
            Out {
                lone: true,
                attempted: true,
                ..out
            },
            &plain,
            WhenOut::Wait(S(5)),
        ),
        (
            "but a call that finds it resting does not",
            Out { lone: true, ..out },
            &plain,
            WhenOut::Stop,
        ),
        (
            "a fallback comes before waiting",
            Out {
                has_fallback: true,
                ..out
            },
            &patient,
            WhenOut::Fallback,
        ),
    ];
    for (rule, out, policy, expected) in rows {
        assert_eq!(decide_when_out(&out, policy), expected, "{rule}");
    }
}

proptest! {
    #[test]
    fn no_wait_outlasts_the_deadline_and_no_attempt_the_budget(
        attempts in 1u32..20, provider_faults in 1u32..40, remaining in 0u64..100_000,
        retry_after in proptest::option::of(0u64..10_000_000), jitter in 0.0f64..1.0, max_retries in 0u32..10,
    ) {
        let policy = Policy { max_retries, ..Policy::default() };
        let fault = fault(FaultReason::Overloaded).with_retry_after(retry_after.map(MS));
        let situation = Situation {
            attempts, provider_faults, remaining: MS(remaining), ..situation(&fault)
        };
        match decide(&situation, &policy, jitter).next {
            Next::Retry(wait) => {
                prop_assert!(wait < situation.remaining);
                prop_assert!(attempts <= max_retries);
            }
            Next::Stop(_) => {}
            other => prop_assert!(false, "unexpected {other:?}"),
        }
    }
}
