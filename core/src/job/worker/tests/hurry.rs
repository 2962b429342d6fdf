//! Time that goes on by what workers do, and by nothing else.
//!
//! With each renewal two thirds of a lease pass: one that is renewed never runs out, any
//! other does behind the second. The leases can be long, so that no busy machine loses one.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::job::{EventStream, Exchanged, JobError, JobEvent, Lease, Renewal, What};
use crate::testing::ManualClock;

#[derive(Debug)]
pub(super) struct Hurry {
    clock: ManualClock,
    lease: Duration,
    /// Leases that a worker was told of and that it is to keep.
    known: Mutex<HashSet<Lease>>,
}

impl Hurry {
    pub(super) fn new(clock: ManualClock, lease: Duration) -> Self {
        let known = Mutex::default();
        Self {
            clock,
            lease,
            known,
        }
    }

    /// While jobs are claimed no time goes by.
    pub(super) async fn exchange(
        &self,
        settled: Vec<Lease>,
        call: impl Future<Output = Result<Exchanged, JobError>>,
    ) -> Result<Exchanged, JobError> {
        let mut known = self.known.lock().await;
        let answer = call.await;
        if let Ok(exchanged) = &answer {
            settled.iter().for_each(|lease| {
                known.remove(lease);
            });
            let claimed = exchanged.claimed.iter();
            known.extend(claimed.map(|claimed| claimed.lease.clone()));
        }
        answer
    }

    /// Time goes by once the worker renews all that it was told of.
    pub(super) async fn renew(
        &self,
        leases: &[Lease],
        call: impl Future<Output = Result<Vec<Renewal>, JobError>>,
    ) -> Result<Vec<Renewal>, JobError> {
        let mut known = self.known.lock().await;
        if known.iter().all(|lease| leases.contains(lease)) {
            self.clock.advance(self.lease * 2 / 3);
        }
        let answer = call.await;
        for (lease, renewal) in leases.iter().zip(answer.iter().flatten()) {
            if *renewal == Renewal::Lost {
                known.remove(lease);
            }
        }
        answer
    }

    /// Requests to cancel that were missed: each makes renewals come at once.
    pub(super) fn missed(self: std::sync::Arc<Self>) -> EventStream {
        let missed = async |hurry: std::sync::Arc<Self>| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if hurry.known.lock().await.is_empty() {
                // Nothing is renewed.
                hurry.clock.advance(hurry.lease * 2 / 3);
            }
            let event = JobEvent {
                at: 0,
                queue: "q".into(),
                id: None,
                what: What::Gap,
            };
            Some((event, hurry))
        };
        Box::pin(futures_util::stream::unfold(self, missed))
    }
}
