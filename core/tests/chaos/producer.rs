//! One who brings jobs and calls some off. It does not take no answer for a refusal.

use std::collections::{BTreeMap, BTreeSet};

use credential_rotation::job::{
    Enqueued, JobError, JobId, JobSpec, Payload, RetryPolicy, SharedJobs,
};

use crate::QUEUE;

/// Of so many, most have not ended yet.
const RECENT: u64 = 200;

#[derive(Default)]
pub(crate) struct Producer {
    next: u64,
    pub(crate) accepted: BTreeSet<JobId>,
    /// Sent without an answer: sent again under the same id until there is one.
    unsure: BTreeMap<JobId, JobSpec>,
}

impl Producer {
    pub(crate) async fn produce(&mut self, jobs: &SharedJobs, chance: &mut fastrand::Rng) {
        let mut batch: Vec<JobSpec> = std::mem::take(&mut self.unsure).into_values().collect();
        for _ in 0..chance.usize(1..12) {
            self.next += 1;
            let spec = JobSpec::new(QUEUE, Payload::of(&self.next).unwrap()).with(|job| {
                job.id = Some(id_of(self.next));
                job.delay_ms = (chance.u8(0..4) == 0).then(|| chance.u64(0..500));
                job.priority = chance.i16(-1..2);
                job.group = chance
                    .bool()
                    .then(|| format!("g{}", chance.u8(0..4)).into());
                job.retry = RetryPolicy::Fixed {
                    delay_ms: 20,
                    jitter: 0.0,
                };
                job.max_stalls = 1_000;
            });
            batch.push(spec);
        }
        self.send(jobs, batch).await;
    }

    /// Sends what has no answer yet. Tells whether all has.
    pub(crate) async fn make_sure(&mut self, jobs: &SharedJobs) -> bool {
        let batch = std::mem::take(&mut self.unsure).into_values().collect();
        self.send(jobs, batch).await;
        self.unsure.is_empty()
    }

    async fn send(&mut self, jobs: &SharedJobs, batch: Vec<JobSpec>) {
        let ids: Vec<JobId> = batch.iter().filter_map(|job| job.id.clone()).collect();
        match jobs.enqueue(batch.clone()).await {
            Ok(answers) => {
                for (id, answer) in ids.into_iter().zip(answers) {
                    match answer {
                        Enqueued::Added(_) | Enqueued::Duplicate(_) => {
                            self.accepted.insert(id);
                        }
                        Enqueued::Refused(error) => panic!("{id}: {error}"),
                    }
                }
            }
            Err(JobError::Unavailable { .. }) => self.unsure.extend(ids.into_iter().zip(batch)),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn cancel_some(&self, jobs: &SharedJobs, chance: &mut fastrand::Rng) {
        let first = self.next.saturating_sub(RECENT);
        let ids: Vec<JobId> = (0..3)
            .map(|_| id_of(chance.u64(first..=self.next)))
            .collect();
        match jobs.cancel(&ids).await {
            Ok(_) | Err(JobError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn id_of(n: u64) -> JobId {
    JobId::from_text(format!("job-{n}")).unwrap()
}
