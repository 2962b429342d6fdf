//! Requests to cancel running jobs, told to the workers of this process as they come.

use std::collections::HashSet;

use rusqlite::Connection;

use super::trouble::{number, unreadable};
use crate::clock::{Clock, SystemClock};
use crate::job::{JobEvent, JobId, What};

/// The most that are told at once; of others, workers hear when they renew.
const MOST: u64 = 10_000;

/// Which of them have been told.
#[derive(Default)]
pub(super) struct Requests {
    told: HashSet<i64>,
}

impl Requests {
    /// Those that came since the last look.
    pub(super) fn news(&mut self, db: &Connection) -> rusqlite::Result<Vec<JobEvent>> {
        let mut query = db.prepare_cached(
            "SELECT job.number, queue.name, job.id
             FROM job JOIN queue ON queue.number = job.queue
             WHERE job.state = 2 AND job.cancel_requested = 1 LIMIT ?1",
        )?;
        let at = SystemClock.now();
        let rows = query.query_map([number(MOST)], |row| {
            let id: String = row.get(2)?;
            let event = JobEvent {
                at,
                queue: row.get(1)?,
                id: Some(JobId::from_text(id).map_err(unreadable)?),
                what: What::CancelRequested,
            };
            Ok((row.get(0)?, event))
        })?;
        let open: Vec<(i64, JobEvent)> = rows.collect::<rusqlite::Result<_>>()?;
        let before = std::mem::take(&mut self.told);
        self.told = open.iter().map(|(job, _)| *job).collect();
        let new = open.into_iter().filter(|(job, _)| !before.contains(job));
        Ok(new.map(|(_, event)| event).collect())
    }
}
