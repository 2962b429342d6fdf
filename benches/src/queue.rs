//! The job that all measurements of queues run, and in what numbers.

use credential_rotation::job::{JobSpec, Payload};

/// What goes wrong ends the program.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the jobs are.
pub const QUEUE: &str = "bench";
/// How many are taken in with one call.
pub const BATCH: usize = 1_000;
/// How many a worker runs at once.
pub const SLOTS: usize = 100;

/// A job with 200 bytes of payload, whose result nobody keeps.
#[must_use]
pub fn job() -> JobSpec {
    let payload = Payload::from_json(format!("{{\"text\":\"{}\"}}", "x".repeat(189)));
    JobSpec::new(QUEUE, payload.unwrap_or_default()).with(|job| job.result_ttl_ms = 0)
}
