//! Jobs that come again by the clock. Pure, but for the time zone database.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::{JobError, JobId, JobSpec};
use crate::clock::EpochMillis;

/// How late a tick still counts as fired in time: a worker may have to take over first.
const LATE_MS: u64 = 60_000;
/// How long the job of a tick is kept at least. A worker that dies before it has moved the
/// schedule on leaves the tick to another one, who must still find the job.
const KEPT_MS: u64 = 600_000;

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
    /// When it fires next, in epoch milliseconds; set when it is put. With 0 one that
    /// replaces a schedule of the same times goes on where that was.
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
        let missed = now - tick > LATE_MS || self.next_after(tick)? <= now;
        if missed && self.misfire == Misfire::Skip {
            return Ok((self, None));
        }
        let mut job = self.job.clone();
        // Two who fire the same tick make one job.
        job.id = Some(JobId::from_text(format!("schedule:{}:{tick}", self.name))?);
        job.result_ttl_ms = job.result_ttl_ms.max(KEPT_MS);
        Ok((self, Some(job)))
    }

    /// As it is to be put in the place of another one: a service that says at each start what
    /// its schedules are must not lose the ticks that passed meanwhile.
    pub(super) fn replacing(
        mut self,
        kept: Option<&Self>,
        now: EpochMillis,
    ) -> Result<Self, JobError> {
        if self.next_at == 0 {
            let same = |kept: &&Self| kept.cron == self.cron && kept.time_zone == self.time_zone;
            self.next_at = match kept.filter(same) {
                Some(kept) => kept.next_at,
                None => self.next_after(now)?,
            };
        }
        Ok(self)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Payload;

    fn at(time: &str) -> EpochMillis {
        u64::try_from(time.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn schedule(cron: &str, zone: &str) -> Schedule {
        let mut schedule = Schedule::new("s", cron, JobSpec::new("q", Payload::NULL));
        schedule.time_zone = zone.to_owned();
        schedule
    }

    #[test]
    fn missed_ticks_fire_once_or_not_at_all() {
        let first = at("2026-05-01T03:00:00Z");
        let hour = 3_600_000;
        // How late, and whether it fires by `once` and by `skip`.
        let rows = [
            (0, true, true),
            (LATE_MS, true, true),
            (LATE_MS + 1, true, false),
            (23 * hour, true, false),
            (24 * hour, true, false),
            (5 * 24 * hour, true, false),
        ];
        for (late, once, skip) in rows {
            for (misfire, fires) in [(Misfire::Once, once), (Misfire::Skip, skip)] {
                let mut daily = schedule("0 3 * * *", "UTC");
                (daily.misfire, daily.next_at) = (misfire, first);
                let (next, job) = daily.fire(first + late).unwrap();
                assert_eq!(job.is_some(), fires, "{misfire:?} {late}");
                let days = late / (24 * hour) + 1;
                assert_eq!(next.next_at, first + days * 24 * hour, "{misfire:?} {late}");
            }
        }
        let mut daily = schedule("0 3 * * *", "UTC");
        daily.next_at = first;
        assert_eq!(daily.clone().fire(first - 1).unwrap(), (daily, None));
    }

    #[test]
    fn a_ticks_job_has_its_name_and_is_kept_for_a_while() {
        let mut hourly = schedule("0 * * * *", "UTC");
        hourly.job.result_ttl_ms = 0;
        hourly.next_at = 3_600_000;
        let job = hourly.fire(3_600_001).unwrap().1.unwrap();
        assert_eq!(job.id.unwrap().as_str(), "schedule:s:3600000");
        assert_eq!(job.result_ttl_ms, KEPT_MS);
    }

    #[test]
    fn ticks_are_as_the_time_zone_has_them() {
        let rows = [
            // An hour is skipped: what was in it fires behind it, once.
            (
                "30 2 * * *",
                "Europe/Rome",
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "30 2 * * *",
                "Europe/Rome",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z",
            ),
            // An hour comes twice: what is in it fires once.
            (
                "30 2 * * *",
                "Europe/Rome",
                "2026-10-24T12:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
            (
                "30 2 * * *",
                "Europe/Rome",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z",
            ),
            // Six fields begin with seconds.
            (
                "15 30 2 * * *",
                "UTC",
                "2026-05-01T00:00:00Z",
                "2026-05-01T02:30:15Z",
            ),
            (
                "@daily",
                "UTC",
                "2026-05-01T00:00:00Z",
                "2026-05-02T00:00:00Z",
            ),
        ];
        for (cron, zone, after, next) in rows {
            let found = schedule(cron, zone).next_after(at(after)).unwrap();
            assert_eq!(found, at(next), "{cron} in {zone} after {after}");
        }
        let unknown = schedule("@daily", "Europe/Atlantis").check().unwrap_err();
        assert!(unknown.to_string().contains("Europe/Rome"), "{unknown}");
    }
}
