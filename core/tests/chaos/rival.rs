//! One who claims jobs as workers do, holds on to them for up to three leases without a
//! renewal, and says then what came of them: that counts, unless the job was taken back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use credential_rotation::job::{
    Claim, Claimed, Failure, Job, JobError, JobId, JobState, Outcome, Payload, Renewal, Settlement,
    SharedJobs,
};

use crate::processes::{fails, token, write_down};
use crate::{LEASE, QUEUE};

pub(crate) struct Rival {
    jobs: SharedJobs,
    ledger: PathBuf,
    held: Vec<Held>,
    ends: Vec<End>,
}

struct Held {
    claimed: Claimed,
    due: Instant,
    written: bool,
    /// Whether its end was sent without an answer.
    unsure: bool,
    /// Whether it was told that the attempt is over.
    lost: bool,
}

struct End {
    claimed: Claimed,
    unsure: bool,
    /// None if it was refused.
    state: Option<JobState>,
}

impl Rival {
    pub(crate) fn new(jobs: SharedJobs, ledger: PathBuf) -> Self {
        Self {
            jobs,
            ledger,
            held: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(crate) async fn claim(&mut self, chance: &mut fastrand::Rng) {
        let claim = Claim {
            worker: "rival".into(),
            max: chance.usize(1..5),
            lease: LEASE,
        };
        let claimed = match self.jobs.claim(QUEUE, claim).await {
            Ok(claimed) => claimed,
            Err(JobError::Unavailable { .. }) => return,
            Err(other) => panic!("{other}"),
        };
        for claimed in claimed {
            // Some it forgets.
            if chance.u8(0..8) > 0 {
                self.held.push(Held {
                    claimed,
                    // Half of them in time.
                    due: Instant::now() + LEASE.mul_f64(3.0 * chance.f64() * chance.f64()),
                    written: false,
                    unsure: false,
                    lost: false,
                });
            }
        }
    }

    /// Says what came of those whose time it is. Tells whether it holds on to none.
    pub(crate) async fn settle_due(&mut self, chance: &mut fastrand::Rng) -> bool {
        let now = Instant::now();
        let due: Vec<Held> = self.held.extract_if(.., |held| held.due <= now).collect();
        for mut held in due {
            if chance.u8(0..4) == 0 {
                self.renew(&mut held).await;
            }
            self.settle(held).await;
        }
        self.held.is_empty()
    }

    async fn renew(&self, held: &mut Held) {
        let lease = std::slice::from_ref(&held.claimed.lease);
        match self.jobs.renew(lease, LEASE).await {
            Ok(answer) => held.lost |= answer == [Renewal::Lost],
            Err(JobError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    async fn settle(&mut self, mut held: Held) {
        let claimed = &held.claimed;
        let token = token(&claimed.lease);
        if !std::mem::replace(&mut held.written, true) {
            write_down(&self.ledger, &token).unwrap();
        }
        let settlement = Settlement {
            lease: claimed.lease.clone(),
            outcome: outcome(claimed, &token),
        };
        let state = match self.jobs.settle(settlement.clone()).await {
            Ok(state) => Some(state),
            Err(JobError::StaleAttempt { .. }) => None,
            Err(JobError::Unavailable { .. }) => {
                held.unsure = true;
                held.due = Instant::now() + Duration::from_millis(100);
                self.held.push(held);
                return;
            }
            Err(other) => panic!("{other}"),
        };
        assert!(
            !(held.lost && state.is_some()),
            "{token} was lost and counts"
        );
        // Said twice it counts once.
        match self.jobs.settle(settlement).await {
            Err(JobError::StaleAttempt { .. } | JobError::Unavailable { .. }) => {}
            other => panic!("{token} counts twice: {other:?}"),
        }
        self.ends.push(End {
            claimed: held.claimed,
            unsure: held.unsure,
            state,
        });
    }

    /// What it was told fits what became of the jobs. Tells how many ends counted, and how
    /// many were refused.
    pub(crate) fn check(&self, found: &BTreeMap<JobId, Job>) -> (usize, usize) {
        for end in &self.ends {
            let lease = &end.claimed.lease;
            let (token, status) = (token(lease), &found[&lease.id].status);
            let result: Option<String> =
                status.result.as_ref().map(|result| result.read().unwrap());
            let ours = result.as_ref() == Some(&token);
            let taken_back = status.stalls > end.claimed.stalls;
            let fits = match end.state {
                Some(JobState::Completed) => ours && !taken_back,
                Some(JobState::Cancelled) => status.state == JobState::Cancelled && !taken_back,
                Some(_) => !ours && status.epoch >= lease.epoch,
                // Perhaps it was refused as it had counted before.
                None if end.unsure => {
                    ours || taken_back
                        || status.epoch > lease.epoch
                        || status.state == JobState::Cancelled
                }
                None => !ours && taken_back,
            };
            assert!(fits, "{token}: {:?}, {status:?}", end.state);
        }
        let counted = self.ends.iter().filter(|end| end.state.is_some()).count();
        (counted, self.ends.len() - counted)
    }
}

fn outcome(claimed: &Claimed, token: &str) -> Outcome {
    let n: u64 = claimed.spec.payload.read().unwrap();
    if fails(n, claimed.attempt) {
        claimed.failed(Failure::new("error", "not yet"), 0.0)
    } else {
        Outcome::Complete {
            result: Payload::of(&token).unwrap(),
        }
    }
}
