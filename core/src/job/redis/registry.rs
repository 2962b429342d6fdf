//! What belongs to no queue: schedules, roles, workers.

use std::time::Duration;

use redis::{Value, cmd};

use super::decode::{Parts, garbled};
use super::{RedisJobs, text};
use crate::clock::millis;
use crate::job::{JobError, Presence, Schedule};

/// How long a worker that is silent is still said to be there.
const PRESENCE: Duration = Duration::from_secs(30);

impl RedisJobs {
    pub(super) async fn write_schedule(&self, mut schedule: Schedule) -> Result<(), JobError> {
        schedule.check()?;
        if schedule.next_at == 0 {
            schedule.next_at = schedule.next_after(self.now().await?)?;
        }
        let text = serde_json::to_string(&schedule)
            .map_err(|e| JobError::invalid("job", e.to_string()))?;
        let mut set = self.global("HSET", "schedules");
        self.shared
            .link
            .ask(set.arg(&schedule.name).arg(text))
            .await
            .map(drop)
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
        // Held by `holder|until`: a holder that has a clock of its own cannot take it early.
        const LEAD: &str = "
            local time = redis.call('TIME')
            local now = ARGV[4] ~= '' and tonumber(ARGV[4]) or time[1] * 1000 + math.floor(time[2] / 1000)
            local held = redis.call('HGET', KEYS[1], ARGV[1])
            if held then
              local till, by = string.match(held, '^(%d+)|(.*)$')
              if by ~= ARGV[2] and tonumber(till) > now then return 0 end
            end
            redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f|%s', now + tonumber(ARGV[3]), ARGV[2]))
            return 1";
        let mut lead = cmd("EVAL");
        lead.arg(LEAD)
            .arg(1)
            .arg(self.shared.link.address().global("roles"));
        lead.arg(role)
            .arg(holder)
            .arg(millis(term))
            .arg(self.shared.head("").now);
        Ok(self.shared.link.ask(&lead).await? == Value::Int(1))
    }

    pub(super) async fn write_presence(&self, presence: &Presence) -> Result<(), JobError> {
        let seen_at = self.now().await?;
        let presence = Presence {
            seen_at,
            ..presence.clone()
        };
        let text = serde_json::to_string(&presence).map_err(|_| garbled())?;
        let mut set = self.global("HSET", "workers");
        self.shared
            .link
            .ask(set.arg(&presence.worker).arg(text))
            .await
            .map(drop)
    }

    pub(super) async fn read_workers(&self) -> Result<Vec<Presence>, JobError> {
        let now = self.now().await?;
        let listed = self
            .shared
            .link
            .ask(&self.global("HVALS", "workers"))
            .await?;
        let read = |text: String| serde_json::from_str::<Presence>(&text).ok();
        let all = Parts::of(listed)?.filter_map(text).filter_map(read);
        let there = |worker: &Presence| worker.seen_at.saturating_add(millis(PRESENCE)) > now;
        let (mut there, gone): (Vec<_>, Vec<_>) = all.partition(there);
        if !gone.is_empty() {
            let mut delete = self.global("HDEL", "workers");
            for worker in gone {
                delete.arg(worker.worker);
            }
            self.shared.link.ask(&delete).await?;
        }
        there.sort_by(|one, another| one.worker.cmp(&another.worker));
        Ok(there)
    }
}
