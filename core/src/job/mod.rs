//! Jobs: taken in once, run at least once, with one recorded outcome.
//!
//! A producer enqueues through a [`JobManager`], a [`worker`] claims and runs, and
//! everyone can follow. Where the jobs are kept is the backend's affair.

mod attempt;
mod error;
mod event;
mod feed;
mod id;
#[expect(clippy::module_inception, reason = "the noun of this module")]
mod job;
mod manager;
pub mod memory;
pub mod metrics;
mod payload;
mod query;
mod queue;
pub mod redis;
mod retry;
mod rules;
mod schedule;
mod spec;
pub mod sqlite;
mod state;
mod webhook;
pub mod worker;

#[cfg(test)]
mod model;

pub use attempt::{
    Claim, Claimed, Enqueued, Exchange, Exchanged, Lease, Outcome, Renewal, Report, Settlement,
};
pub use error::{CODES, JobError};
pub use event::{EventStream, JobEvent, What};
pub use id::{ID_LIMIT, JobId};
pub use job::{Failure, Job, JobStatus, LogLine, Progress, failure_kind};
pub use manager::{JobManager, SharedJobs};
pub use payload::Payload;
pub use query::{JobFilter, JobPage, PAGE_LIMIT, Presence};
pub use queue::{PAYLOAD_LIMIT, QueueCounts, QueueLimits, Rate, RateState};
pub use retry::RetryPolicy;
pub use schedule::{Misfire, Schedule};
pub use spec::{JobSpec, NAME_LIMIT, PRIORITY_LIMIT, TAG_LIMIT, check_queue};
pub use state::{JobState, Move, TABLE};
pub use webhook::{WEBHOOK_KIND, WEBHOOK_SECRET_VARIABLE, WebhookOptions};
