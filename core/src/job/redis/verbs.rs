//! Verbs about jobs whose queue is not known: they are looked for in all of them.

use super::decode::{self, Parts};
use super::scripts::{Args, VERB};
use super::{RedisJobs, STEP};
use crate::job::{JobError, JobId, JobState, rules};

/// What is taken from a state's number where another job holds the unique key.
const KEY_IS_HELD: i64 = -10;

impl RedisJobs {
    pub(super) async fn call_off(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        let answers = self.verb("cancel", ids).await?;
        Ok(answers
            .into_iter()
            .map(|state| decode::state(state.unsigned_abs()))
            .collect())
    }

    pub(super) async fn remove(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        let answers = self.verb("delete", ids).await?;
        Ok(answers.into_iter().map(|state| state != 0).collect())
    }

    pub(super) async fn let_wait_again(
        &self,
        ids: &[JobId],
    ) -> Result<Vec<Result<(), JobError>>, JobError> {
        let answers = self.verb("revive", ids).await?;
        let one = |(id, answer): (&JobId, i64)| {
            let id = id.clone();
            match decode::state(answer.unsigned_abs() % KEY_IS_HELD.unsigned_abs()) {
                None => Err(JobError::UnknownJob { id }),
                Some(_) if answer > 0 => Ok(()),
                Some(state) if answer < KEY_IS_HELD => Err(JobError::IllegalMove {
                    id,
                    state,
                    verb: rules::KEY_IS_HELD,
                }),
                Some(state) => Err(JobError::IllegalMove {
                    id,
                    state,
                    verb: "retried",
                }),
            }
        };
        Ok(ids.iter().zip(answers).map(one).collect())
    }

    /// Runs a verb over the queues until every id has an answer.
    async fn verb(&self, verb: &str, ids: &[JobId]) -> Result<Vec<i64>, JobError> {
        let mut answers = vec![0; ids.len()];
        for queue in self.queues().await? {
            let open: Vec<usize> = (0..ids.len()).filter(|n| answers[*n] == 0).collect();
            for some in open.chunks(STEP) {
                let args = some.iter().fold(Args::default().with(verb), |args, n| {
                    args.with(ids[*n].as_str())
                });
                let mut parts = Parts::of(self.run(&VERB, &queue, &args).await?)?;
                for n in some {
                    answers[*n] = parts.signed()?;
                }
            }
        }
        Ok(answers)
    }
}
