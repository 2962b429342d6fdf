//! Claim, renew, settle and sweep with fencing, looked at in every order that there is.
//!
//! The model drives the very rules that the backends apply. Two workers, one of them
//! slow, hold on to attempts that they have lost, and say so late or twice; leases
//! lapse at any time. A variant without the fence shows that the check can fail.

use std::time::Duration;

use stateright::{Checker, Model, Property};

use super::{Failure, JobSpec, JobState, JobStatus, Outcome, Payload, rules};

const WORKERS: [&str; 2] = ["a", "b"];
/// Bounds what is looked at: claims of one job.
const EPOCHS: u64 = 4;

struct Jobs {
    /// Whether a write must carry the present epoch.
    fenced: bool,
    spec: JobSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct View {
    state: u8,
    epoch: u64,
    attempt: u32,
    stalls: u32,
    cancel_requested: bool,
    /// Whether the present lease has time left.
    leased: bool,
    /// The attempt that each worker believes to have.
    held: [Option<u64>; 2],
    /// Who wrote the outcome: the writer's epoch and the epoch that was the present one.
    ended_by: Option<(u64, u64)>,
    /// Outcomes recorded, but for those that an operator undid.
    outcomes: u8,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Claim(usize),
    Renew(usize),
    Settle(usize, Ending),
    /// A worker gives up an attempt without a word: it died.
    Die(usize),
    Lapse,
    Sweep,
    Promote,
    Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Complete,
    Retry,
    Fail,
    Release,
}

impl Jobs {
    fn new(fenced: bool) -> Self {
        let spec = JobSpec {
            max_attempts: 2,
            max_stalls: 1,
            ..JobSpec::default()
        };
        Self { fenced, spec }
    }

    fn may_write(&self, view: &View, epoch: u64) -> bool {
        let running = view.state == JobState::Running as u8;
        running && (!self.fenced || view.epoch == epoch)
    }

    /// Lets a rule of the backends change the job.
    fn apply(&self, view: &mut View, rule: impl FnOnce(&mut JobStatus, &JobSpec)) {
        let mut status = JobStatus::taken_in(0, None);
        status.state = JobState::ALL[usize::from(view.state)];
        status.epoch = view.epoch;
        status.attempt = view.attempt;
        status.stalls = view.stalls;
        status.cancel_requested = view.cancel_requested;
        rule(&mut status, &self.spec);
        view.state = status.state as u8;
        view.epoch = status.epoch;
        view.attempt = status.attempt;
        view.stalls = status.stalls;
        view.leased &= status.state == JobState::Running;
        if status.state.is_finished() {
            view.outcomes += 1;
        }
    }

    fn outcome(&self, view: &View, ending: Ending) -> Outcome {
        let error = Failure::new("error", "it did not work");
        match ending {
            Ending::Complete => Outcome::Complete {
                result: Payload::NULL,
            },
            Ending::Release => Outcome::Release,
            Ending::Retry if view.attempt < self.spec.max_attempts => {
                let after = Duration::ZERO;
                Outcome::Retry { error, after }
            }
            Ending::Retry | Ending::Fail => Outcome::Fail { error },
        }
    }
}

fn is(view: &View, state: JobState) -> bool {
    view.state == state as u8
}

fn finished(view: &View) -> bool {
    JobState::ALL[usize::from(view.state)].is_finished()
}

impl Model for Jobs {
    type State = View;
    type Action = Step;

    fn init_states(&self) -> Vec<View> {
        vec![View {
            state: JobState::Waiting as u8,
            epoch: 0,
            attempt: 0,
            stalls: 0,
            cancel_requested: false,
            leased: false,
            held: [None; 2],
            ended_by: None,
            outcomes: 0,
        }]
    }

    fn actions(&self, view: &View, steps: &mut Vec<Step>) {
        for (worker, held) in view.held.iter().enumerate() {
            if is(view, JobState::Waiting) && held.is_none() && view.epoch < EPOCHS {
                steps.push(Step::Claim(worker));
            }
            if held.is_some() {
                steps.extend([Step::Renew(worker), Step::Die(worker)]);
                let endings = [
                    Ending::Complete,
                    Ending::Retry,
                    Ending::Fail,
                    Ending::Release,
                ];
                steps.extend(endings.map(|ending| Step::Settle(worker, ending)));
            }
        }
        if view.leased {
            steps.push(Step::Lapse);
        }
        if is(view, JobState::Running) && !view.leased {
            steps.push(Step::Sweep);
        }
        if is(view, JobState::Delayed) {
            steps.push(Step::Promote);
        }
        if !finished(view) && !view.cancel_requested {
            steps.push(Step::Cancel);
        }
    }

    fn next_state(&self, view: &View, step: Step) -> Option<View> {
        let mut next = view.clone();
        match step {
            Step::Claim(worker) => {
                self.apply(&mut next, |status, _| {
                    rules::claim(status, WORKERS[worker], 0, 0)
                });
                next.leased = true;
                next.held[worker] = Some(next.epoch);
            }
            Step::Renew(worker) => {
                let epoch = view.held[worker]?;
                if self.may_write(view, epoch) {
                    next.leased = true;
                } else {
                    // Told that it is lost, a worker may still have sent an outcome before.
                    return None;
                }
            }
            Step::Settle(worker, ending) => {
                let epoch = view.held[worker]?;
                if self.may_write(view, epoch) {
                    let outcome = self.outcome(view, ending);
                    self.apply(&mut next, |status, spec| {
                        rules::settle(status, spec, outcome, 0)
                    });
                    if finished(&next) {
                        next.ended_by = Some((epoch, view.epoch));
                    }
                }
                // It may say it again: it holds on. Only its death ends that.
            }
            Step::Die(worker) => next.held[worker] = None,
            Step::Lapse => next.leased = false,
            Step::Sweep => self.apply(&mut next, |status, spec| rules::stall(status, spec, 0)),
            Step::Promote => next.state = JobState::Waiting as u8,
            Step::Cancel if is(view, JobState::Running) => next.cancel_requested = true,
            Step::Cancel => self.apply(&mut next, |status, _| rules::cancel(status, 0)),
        }
        (next != *view).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a job has one outcome", |_, view: &View| view.outcomes <= 1),
            Property::always("an outcome is of the present attempt", |_, view: &View| {
                view.ended_by.is_none_or(|(by, present)| by == present)
            }),
            Property::always("an end is an outcome", |_, view: &View| {
                finished(view) == (view.outcomes == 1)
            }),
            Property::always(
                "no more attempts than allowed",
                |jobs: &Self, view: &View| {
                    view.attempt <= jobs.spec.max_attempts
                        && view.stalls <= jobs.spec.max_stalls + 1
                },
            ),
            Property::always("a lease is of a running job", |_, view: &View| {
                !view.leased || is(view, JobState::Running)
            }),
            Property::sometimes("jobs are completed", |_, view: &View| {
                is(view, JobState::Completed)
            }),
            Property::sometimes("by a second worker", |_, view: &View| {
                is(view, JobState::Completed) && view.epoch == 2
            }),
            Property::sometimes("jobs are given up", |_, view: &View| {
                is(view, JobState::Failed)
            }),
            Property::sometimes("jobs are called off", |_, view: &View| {
                is(view, JobState::Cancelled)
            }),
        ]
    }
}

#[test]
fn in_every_order_a_job_has_one_outcome_and_it_is_of_the_present_attempt() {
    let checker = Jobs::new(true).checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(
        checker.unique_state_count() > 500,
        "{}",
        checker.unique_state_count()
    );
}

#[test]
fn without_the_fence_the_check_finds_a_late_outcome_of_a_lost_attempt() {
    let checker = Jobs::new(false).checker().spawn_bfs().join();
    let found = checker.discovery("an outcome is of the present attempt");
    let path = found.unwrap_or_else(|| panic!("the check finds nothing"));
    let steps: Vec<Step> = path.into_actions();
    assert!(steps.contains(&Step::Sweep), "{steps:?}");
}
