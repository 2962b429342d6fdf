//! What every [`JobManager`](crate::job::JobManager) must do, as a suite that any backend can run.
//!
//! A check makes its own store, drives it by a clock set by hand, and panics where
//! the backend does otherwise. [`CHECKS`] lists them all by name:
//!
//! ```
//! # use std::sync::Arc;
//! # use credential_rotation::job::memory::MemoryJobs;
//! # use credential_rotation::testing::{ManualClock, jobs};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for (name, check) in jobs::CHECKS {
//!     println!("{name}");
//!     let clock = Arc::new(ManualClock::new(jobs::START));
//!     let memory = Arc::new(MemoryJobs::with_clock(clock.clone()));
//!     check(jobs::Store { one: memory.clone(), another: memory, clock }).await;
//! }
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a check fails by a panic"
)]

mod cancel;
mod edges;
mod ends;
mod events;
mod identity;
mod leases;
mod limits;
mod order;
mod reading;
mod upkeep;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::ManualClock;
use crate::job::{
    Claim, Claimed, Enqueued, Exchange, Exchanged, Failure, Job, JobError, JobId, JobSpec,
    JobState, Lease, Outcome, Payload, QueueCounts, Settlement, SharedJobs,
};

/// Where a check's clock is to stand at its start, in epoch milliseconds.
pub const START: u64 = 1_800_000_000_000;

/// An empty place for jobs, seen by two.
#[derive(Debug, Clone)]
pub struct Store {
    /// A manager.
    pub one: SharedJobs,
    /// Another one over the same jobs, as another process has it.
    pub another: SharedJobs,
    /// The clock of both, standing at [`START`].
    pub clock: Arc<ManualClock>,
}

/// One thing that a backend must do.
pub type Check = fn(Store) -> BoxFuture<'static, ()>;

macro_rules! checks {
    ($($file:ident: $($name:ident),+;)+) => {
        /// Every check, by the sentence that it holds the backend to.
        pub const CHECKS: &[(&str, Check)] = &[
            $($((stringify!($name), |store| Box::pin($file::$name(store)))),+),+
        ];
    };
}

checks! {
    order:
        equal_priorities_are_served_as_they_came,
        a_higher_priority_goes_first,
        a_delayed_job_never_runs_early_and_a_short_delay_behind_a_long_one_is_on_time,
        delayed_jobs_of_one_millisecond_are_served_as_they_came,
        groups_take_turns,
        ten_thousand_groups_are_served,
        priorities_stand_in_one_line,
        what_left_the_line_is_not_met_in_it_again,
        thousands_that_leave_the_line_do_not_stay_in_it;
    identity:
        an_id_that_is_there_is_said_to_be_and_nothing_is_overwritten,
        of_two_who_insert_one_unique_key_at_once_one_does,
        a_unique_key_is_free_after_every_end_but_not_while_it_is_retried,
        a_unique_key_can_be_held_for_a_time,
        a_job_is_not_tried_again_while_another_has_its_key,
        a_unique_key_is_free_after_ends_that_no_worker_makes,
        a_batch_answers_for_each_job,
        payloads_are_kept_byte_for_byte,
        names_that_no_queue_can_have_are_refused;
    limits:
        jobs_wait_for_their_first_worker_and_are_claimed_by_number,
        a_queues_concurrency_holds_across_workers_and_stalls,
        a_groups_concurrency_holds_and_its_next_job_follows,
        a_group_goes_on_when_its_next_job_goes_unrun,
        a_rate_holds_across_workers,
        another_rate_holds_at_once,
        numbers_out_of_range_are_refused,
        a_pause_stops_claims_only,
        a_pause_of_an_hour_loses_nothing,
        payloads_over_the_limit_and_full_queues_are_refused;
    leases:
        a_renewed_lease_outlives_its_time,
        a_lapsed_lease_gives_the_job_to_another_and_refuses_the_first,
        a_job_that_stalls_too_often_is_given_up,
        two_who_sweep_at_once_take_a_job_back_once,
        a_deleted_running_job_frees_its_slot_and_refuses_its_outcome,
        a_new_job_of_an_id_takes_no_outcome_of_an_old_one,
        a_deleted_running_job_makes_room_in_its_group,
        thousands_of_leases_that_lapse_at_once_are_taken_back,
        a_lease_of_any_length_holds,
        a_released_job_costs_nothing_and_keeps_its_place,
        a_late_settlement_of_a_lapsed_lease_that_nobody_took_back_counts;
    ends:
        a_result_is_kept_for_its_time,
        a_retry_rests_and_counts_and_the_last_failure_ends,
        a_snooze_costs_no_attempt,
        a_deadline_ends_a_job_that_waits,
        a_deadline_ends_a_job_that_nobody_can_claim,
        a_result_over_the_limit_is_a_failure,
        the_same_settlement_twice_is_refused_the_second_time,
        a_job_that_ended_can_be_tried_again,
        kept_jobs_are_trimmed_by_number_and_purged_by_age,
        kept_jobs_are_trimmed_by_bytes;
    cancel:
        a_waiting_job_is_cancelled_at_once,
        a_running_job_is_told_and_its_retry_gives_way,
        success_wins_over_a_request_to_cancel,
        a_stalled_job_that_was_to_be_cancelled_is,
        a_finished_job_is_not_cancelled;
    events:
        a_jobs_life_is_told_in_order_to_the_other_process,
        a_queue_is_drained_once,
        a_waiter_is_woken_by_the_other_process,
        a_claim_that_waits_has_the_job_that_comes,
        a_claim_that_waits_is_called_off_at_once,
        a_wait_ends_with_the_job_or_in_time,
        a_request_to_cancel_is_told_as_it_comes;
    reading:
        jobs_are_listed_by_filter_and_page,
        counts_add_up,
        progress_and_log_are_kept_in_order,
        news_that_cannot_be_kept_are_refused,
        what_is_unknown_is_said_to_be;
    upkeep:
        twenty_thousand_jobs_due_at_once_are_all_served,
        a_schedule_is_kept_and_its_tick_makes_one_job,
        a_role_has_one_holder,
        workers_are_there_while_they_say_so,
        workers_of_one_id_are_both_there_until_each_leaves,
        whatever_happens_accepted_is_finished_and_live;
    edges:
        a_job_that_is_added_again_stands_behind_what_came_in_between,
        a_result_over_the_limit_fails_its_job_though_nothing_is_kept,
        completed_and_cancelled_jobs_are_kept_by_number_together,
        a_queue_is_said_to_be_drained_once,
        a_running_job_that_is_deleted_makes_room_for_the_next;
    webhooks:
        every_end_of_a_job_with_a_webhook_makes_one_delivery,
        ends_that_no_worker_makes_are_delivered_too,
        what_is_no_end_makes_no_delivery,
        a_job_that_ends_again_is_told_of_again,
        a_delivery_is_a_job_that_makes_no_other;
}

const QUEUE: &str = "work";
const LEASE: Duration = Duration::from_secs(30);

impl Store {
    pub(super) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn add(&self, job: JobSpec) -> JobId {
        match self.one.enqueue_one(job).await.unwrap() {
            Enqueued::Added(id) => id,
            other => panic!("not added: {other:?}"),
        }
    }

    async fn add_named(&self, names: &[&str]) {
        let jobs = names.iter().map(|name| job().with_id(id(name))).collect();
        for answer in self.one.enqueue(jobs).await.unwrap() {
            assert!(matches!(answer, Enqueued::Added(_)), "{answer:?}");
        }
    }

    async fn claim(&self, max: usize) -> Vec<Claimed> {
        self.exchange(Vec::new(), max).await.claimed
    }

    async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim(1).await;
        claimed.pop().unwrap_or_else(|| panic!("nothing to claim"))
    }

    async fn exchange(&self, settle: Vec<Settlement>, max: usize) -> Exchanged {
        let exchange = Exchange {
            queue: QUEUE.into(),
            settle,
            claim: claim(max),
        };
        self.one.exchange(exchange).await.unwrap()
    }

    async fn settle(&self, claimed: &Claimed, outcome: Outcome) -> Result<JobState, JobError> {
        let lease = claimed.lease.clone();
        self.one.settle(Settlement { lease, outcome }).await
    }

    async fn job(&self, id: &JobId) -> Job {
        self.another.find(id).await.unwrap()
    }

    async fn state(&self, id: &JobId) -> JobState {
        self.job(id).await.status.state
    }

    async fn counts(&self) -> QueueCounts {
        let all = self.another.counts().await.unwrap();
        let ours = all.into_iter().find(|counts| counts.queue == QUEUE);
        ours.unwrap_or_default()
    }
}

fn job() -> JobSpec {
    JobSpec::new(QUEUE, Payload::NULL)
}

fn id(name: &str) -> JobId {
    JobId::from_text(name).unwrap()
}

fn claim(max: usize) -> Claim {
    Claim {
        worker: "checker".into(),
        max,
        lease: LEASE,
    }
}

fn ids(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|one| one.lease.id.as_str()).collect()
}

fn done() -> Outcome {
    Outcome::Complete {
        result: Payload::from_json("{\"done\":true}").unwrap(),
    }
}

fn failed() -> Outcome {
    Outcome::Fail { error: error() }
}

fn retried(after: u64) -> Outcome {
    Outcome::Retry {
        error: error(),
        after: Duration::from_millis(after),
    }
}

fn error() -> Failure {
    Failure::new("error", "it did not work")
}

fn settlement(lease: &Lease, outcome: Outcome) -> Settlement {
    Settlement {
        lease: lease.clone(),
        outcome,
    }
}

fn is_stale<T: std::fmt::Debug>(answer: Result<T, JobError>) -> bool {
    matches!(answer, Err(JobError::StaleAttempt { .. }))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
