//! Attempts end, or go on and tell of themselves. Each write is for the present attempt only.

use rusqlite::{OptionalExtension, params};

use super::row::{Kept, write_json};
use super::session::Turn;
use super::trouble::number;
use crate::clock::EpochMillis;
use crate::job::{
    JobError, JobState, Lease, Outcome, Renewal, Report, Settlement, What, manager, rules,
};

/// Jobs that are promoted behind a failed attempt.
const PROMOTE_STEP: usize = 100;
/// The most lines of a job's log that are kept.
const LOG_LIMIT: i64 = 1_000;

impl Turn<'_> {
    /// Records the end of an attempt.
    pub(super) fn settle(
        &mut self,
        settlement: Settlement,
    ) -> rusqlite::Result<Result<JobState, JobError>> {
        let Some(mut kept) = self.held(&settlement.lease)? else {
            return Ok(Err(stale(&settlement.lease)));
        };
        let now = self.news.now;
        let mut outcome = settlement.outcome;
        if let Outcome::Complete { result } = &outcome
            && let Some(error) = manager::too_large(result, self.line.limits.max_payload)
        {
            outcome = Outcome::Fail { error };
        }
        let rest = matches!(outcome, Outcome::Retry { .. });
        self.stop_running(&kept)?;
        let state = self.change(&mut kept, |status, spec| {
            rules::settle(status, spec, outcome, now);
        })?;
        if rest {
            self.promote_due(PROMOTE_STEP)?;
        }
        Ok(Ok(state))
    }

    /// Makes a lease last until then.
    pub(super) fn renew(&mut self, lease: &Lease, until: EpochMillis) -> rusqlite::Result<Renewal> {
        let cancelled: Option<bool> = self
            .db
            .prepare_cached(
                "UPDATE job SET until = ?4
                 WHERE id = ?1 AND queue = ?2 AND state = 2 AND epoch = ?3
                 RETURNING cancel_requested",
            )?
            .query_row(
                params![
                    lease.id.as_str(),
                    self.line.row,
                    number(lease.epoch),
                    number(until)
                ],
                |row| row.get(0),
            )
            .optional()?;
        Ok(match cancelled {
            None => Renewal::Lost,
            Some(true) => Renewal::CancelRequested,
            Some(false) => Renewal::Kept,
        })
    }

    /// Records news of an attempt.
    pub(super) fn report(&mut self, report: Report) -> rusqlite::Result<Result<(), JobError>> {
        if let Err(refusal) = report.check() {
            return Ok(Err(refusal));
        }
        let Some(kept) = self.held(&report.lease)? else {
            return Ok(Err(stale(&report.lease)));
        };
        let id = Some(&report.lease.id);
        if let Some(progress) = report.progress {
            self.db
                .prepare_cached("UPDATE job SET progress = ?2 WHERE number = ?1")?
                .execute(params![kept.number, write_json(Some(&progress))?])?;
            self.tell(id, What::Progress(progress));
        }
        if !report.log.is_empty() {
            self.append_log(kept.number, &report.log)?;
        }
        for text in report.log {
            self.tell(id, What::Log { text });
        }
        Ok(Ok(()))
    }

    fn append_log(&self, job: i64, lines: &[String]) -> rusqlite::Result<()> {
        let mut last: i64 = self
            .db
            .prepare_cached("SELECT coalesce(max(line), 0) FROM log WHERE job = ?1")?
            .query_row([job], |row| row.get(0))?;
        let mut insert = self
            .db
            .prepare_cached("INSERT INTO log (job, line, at, text) VALUES (?1, ?2, ?3, ?4)")?;
        for text in lines {
            last += 1;
            insert.execute(params![job, last, number(self.news.now), text])?;
        }
        self.db
            .prepare_cached("DELETE FROM log WHERE job = ?1 AND line <= ?2")?
            .execute([job, last - LOG_LIMIT])?;
        Ok(())
    }

    /// The job of an attempt that is the present one.
    fn held(&self, lease: &Lease) -> rusqlite::Result<Option<Kept>> {
        let kept = self.find(&lease.id)?;
        Ok(kept.filter(|kept| {
            kept.status.state == JobState::Running && kept.status.epoch == lease.epoch
        }))
    }
}

fn stale(lease: &Lease) -> JobError {
    JobError::StaleAttempt {
        id: lease.id.clone(),
        epoch: lease.epoch,
    }
}
