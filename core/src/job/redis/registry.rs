//! What belongs to no queue: schedules, roles, workers.

use std::time::Duration;

use redis::Value;

use super::decode::{Parts, garbled};
use super::scripts::{ANNOUNCE, LEAD, REPLACE};
use super::{RedisJobs, text};
use crate::clock::{self, millis};
use crate::job::worker::Lane;
use crate::job::{JobError, Presence, Schedule};

/// How long a worker that is silent is still said to be there.
const PRESENCE: Duration = Duration::from_secs(30);

impl RedisJobs {
    pub(super) async fn write_schedule(&self, schedule: Schedule) -> Result<(), JobError> {
        schedule.check()?;
        let (name, now) = (schedule.name.clone(), self.now().await?);
        // What fires it may move it on between the look and the write: then once more.
        loop {
            let kept = self.kept_schedule(&name).await?;
            let before = kept
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            let next = schedule.clone().replacing(before.as_ref(), now)?;
            let text = serde_json::to_string(&next)
                .map_err(|e| JobError::invalid("job", e.to_string()))?;
            let written = match kept {
                Some(kept) => self.replace_schedule(&name, &kept, &text).await?,
                None => {
                    let mut set = self.global("HSETNX", "schedules");
                    let set = self.shared.link.ask(set.arg(&name).arg(text));
                    set.await? == Value::Int(1)
                }
            };
            if written {
                return Ok(());
            }
        }
    }

    async fn kept_schedule(&self, name: &str) -> Result<Option<String>, JobError> {
        let mut get = self.global("HGET", "schedules");
        Ok(text(self.shared.link.ask(get.arg(name)).await?))
    }

    /// Writes a schedule if it still is as it was read.
    async fn replace_schedule(&self, name: &str, kept: &str, next: &str) -> Result<bool, JobError> {
        let schedules = self.shared.link.address().global("schedules");
        let fill = |replace: &mut redis::Cmd| {
            replace.arg(1).arg(&schedules).arg(name).arg(kept).arg(next);
        };
        Ok(REPLACE.eval(&self.shared.link, fill).await? == Value::Int(1))
    }

    pub(super) async fn advance(
        &self,
        before: &Schedule,
        after: &Schedule,
    ) -> Result<bool, JobError> {
        let Some(kept) = self.kept_schedule(&before.name).await? else {
            return Ok(false);
        };
        if serde_json::from_str::<Schedule>(&kept).ok().as_ref() != Some(before) {
            return Ok(false);
        }
        let next = serde_json::to_string(after).map_err(|_| garbled())?;
        self.replace_schedule(&before.name, &kept, &next).await
    }

    pub(super) async fn read_schedules(&self) -> Result<Vec<Schedule>, JobError> {
        let listed = self
            .shared
            .link
            .ask(&self.global("HVALS", "schedules"))
            .await?;
        let read = |text: String| serde_json::from_str::<Schedule>(&text).ok();
        let mut all: Vec<Schedule> = Parts::of(listed)?
            .filter_map(text)
            .filter_map(read)
            .collect();
        all.sort_by(|one, another| one.name.cmp(&another.name));
        Ok(all)
    }

    pub(super) async fn take_role(
        &self,
        role: &str,
        holder: &str,
        term: Duration,
    ) -> Result<bool, JobError> {
        let now = self.shared.head("").now;
        let roles = self.shared.link.address().global("roles");
        let fill = |lead: &mut redis::Cmd| {
            lead.arg(1).arg(&roles).arg(role).arg(holder);
            lead.arg(clock::term(term)).arg(&now);
        };
        Ok(LEAD.eval(&self.shared.link, fill).await? == Value::Int(1))
    }

    pub(super) async fn write_presence(&self, presence: &Presence) -> Result<(), JobError> {
        let text = serde_json::to_string(presence).map_err(|_| garbled())?;
        // What a failover made the server forget is told again.
        let lanes = presence
            .queues
            .iter()
            .filter_map(|lane| Lane::parse(lane).ok());
        let names: Vec<String> = lanes.map(|lane| lane.name()).collect();
        if !names.is_empty() {
            let mut add = self.global("SADD", "queues");
            for queue in names.iter().flat_map(|names| names.split(',')) {
                add.arg(queue);
            }
            self.shared.link.ask(&add).await?;
        }
        let now = self.shared.head("").now;
        let workers = self.shared.link.address().global("workers");
        let fill = |announce: &mut redis::Cmd| {
            announce.arg(1).arg(&workers).arg(presence.key());
            announce.arg(&text).arg(&now);
        };
        ANNOUNCE.eval(&self.shared.link, fill).await.map(drop)
    }

    pub(super) async fn read_workers(&self) -> Result<Vec<Presence>, JobError> {
        let now = self.now().await?;
        let listed = self
            .shared
            .link
            .ask(&self.global("HVALS", "workers"))
            .await?;
        let read = |text: String| {
            let (seen, told) = text.split_once('|')?;
            let mut presence = serde_json::from_str::<Presence>(told).ok()?;
            presence.seen_at = seen.parse().ok()?;
            Some(presence)
        };
        let all = Parts::of(listed)?.filter_map(text).filter_map(read);
        let there = |worker: &Presence| worker.seen_at.saturating_add(millis(PRESENCE)) > now;
        let (mut there, gone): (Vec<_>, Vec<_>) = all.partition(there);
        if !gone.is_empty() {
            let mut delete = self.global("HDEL", "workers");
            for worker in gone {
                delete.arg(worker.key());
            }
            self.shared.link.ask(&delete).await?;
        }
        there.sort_by_cached_key(Presence::key);
        Ok(there)
    }
}
