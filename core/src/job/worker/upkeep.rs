//! Sweeps all queues now and then, also those that no worker claims from.

use std::sync::Arc;
use std::time::Duration;

use super::crew::Crew;

/// The most steps of one sweep: the rest is for the next one, or another worker.
const STEPS: usize = 100;
/// The longest time between two sweeps, however long leases are.
const LONGEST: Duration = Duration::from_secs(60);

/// About twice in a lease, as each worker may; never all at the same time.
pub(super) async fn sweep(crew: Arc<Crew>) {
    loop {
        let pause = (crew.lease / 2)
            .min(LONGEST)
            .mul_f64(0.75 + fastrand::f64() / 2.0);
        tokio::time::sleep(pause).await;
        for _ in 0..STEPS {
            match crew.jobs.sweep().await {
                Ok(0) => break,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::debug!(%error, "no sweep this time");
                    break;
                }
            }
        }
    }
}
