//! Jobs that come again by the clock. Pure, but for the time zone database.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::{JobError, JobId, JobSpec};
use crate::clock::EpochMillis;

/// What to do about ticks that passed while nobody was there to fire them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// Fire once for all of them. The default.
    #[default]
    Once,
    /// Fire none of them.
    Skip,
}

/// A job that comes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When: five fields, or six with seconds first; `@daily` and the like.
    pub cron: String,
    /// The time zone by its IANA name. Default: UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What. Its id is made from the schedule's name and the tick.
    pub job: JobSpec,
    /// What about missed ticks.
    #[serde(default)]
    pub misfire: Misfire,
    /// When it fires next, in epoch milliseconds; set when it is put.
    #[serde(default)]
    pub next_at: EpochMillis,
}

impl Schedule {
    /// A schedule in UTC.
    #[must_use]
    pub fn new(name: &str, cron: &str, job: JobSpec) -> Self {
        Self {
            name: name.to_owned(),
            cron: cron.to_owned(),
            time_zone: utc(),
            job,
            misfire: Misfire::default(),
            next_at: 0,
        }
    }

    /// # Errors
    /// [`JobError::Invalid`] for a pattern, time zone or job that cannot be.
    pub fn check(&self) -> Result<(), JobError> {
        if self.name.is_empty() || self.name.len() > 100 {
            return Err(JobError::invalid("name", "it has 1 to 100 bytes"));
        }
        if self.job.id.is_some() || self.job.due(0).is_some() {
            let problem =
                "a schedule's job has no `id`, `delay_ms` or `run_at`: they come from the tick";
            return Err(JobError::invalid("job", problem));
        }
        self.job.check()?;
        self.next_after(0).map(drop)
    }

    /// The first tick after a time. In a time zone that skips an hour, ticks within it
    /// fire behind it; in one that repeats an hour, they fire once.
    ///
    /// # Errors
    /// [`JobError::Invalid`].
    pub fn next_after(&self, after: EpochMillis) -> Result<EpochMillis, JobError> {
        let cron = self.parsed()?;
        let zone = TimeZone::get(&self.time_zone).map_err(|_| {
            let problem = format!(
                "no time zone `{}`: give an IANA name as `Europe/Rome`",
                self.time_zone
            );
            JobError::invalid("time_zone", problem)
        })?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let after = Timestamp::from_millisecond(after)
            .map_err(|_| JobError::invalid("cron", "the time is out of range"))?;
        let after: Zoned = after.to_zoned(zone);
        let next = cron
            .find_next_occurrence(&after, false)
            .map_err(|_| JobError::invalid("cron", format!("`{}` never comes", self.cron)))?;
        Ok(u64::try_from(next.timestamp().as_millisecond()).unwrap_or(0))
    }

    /// The job of the present tick if it is due, and the schedule with its next one.
    ///
    /// # Errors
    /// As [`Schedule::next_after`].
    pub fn fire(mut self, now: EpochMillis) -> Result<(Self, Option<JobSpec>), JobError> {
        if self.next_at > now {
            return Ok((self, None));
        }
        let tick = self.next_at;
        self.next_at = self.next_after(now)?;
        // More than one tick late: others were missed behind it.
        let missed = self.next_after(tick)? <= now;
        if missed && self.misfire == Misfire::Skip {
            return Ok((self, None));
        }
        let mut job = self.job.clone();
        // Two who fire the same tick make one job.
        job.id = Some(JobId::from_text(format!("schedule:{}:{tick}", self.name))?);
        Ok((self, Some(job)))
    }

    fn parsed(&self) -> Result<Cron, JobError> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        parser
            .parse(&self.cron)
            .map_err(|e| JobError::invalid("cron", format!("`{}`: {e}", self.cron)))
    }
}

fn utc() -> String {
    "UTC".to_owned()
}
