//! Jobs in Redis 6.2 or later, or Valkey: for many processes on many hosts.
//!
//! Every move is one Lua script over the keys of one queue, which share a slot, so
//! that a cluster serves it too. `docs/redis-keys.md` has the keys. Anyone may push
//! JSON to the list that has the queue's name: it is a job.

mod address;
mod bell;
mod check;
mod decode;
mod encode;
mod follow;
mod gather;
mod link;
mod scripts;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Cmd, Value, cmd};
use tokio_util::sync::CancellationToken;

use self::address::Address;
use self::bell::Bells;
use self::decode::{Parts, Taken, garbled};
use self::follow::{Feed, Follower};
use self::gather::Gatherer;
use self::link::Link;
use self::scripts::{
    Args, COUNTS, EXCHANGE, Head, LOG, PURGE, READ, RENEW, REPORT, SETTINGS, SWEEP, VERB,
};
use super::{
    Claim, Enqueued, EventStream, Exchange, Exchanged, Failure, Job, JobError, JobFilter, JobId,
    JobManager, JobPage, JobSpec, JobState, Lease, LogLine, Outcome, Presence, QueueCounts,
    QueueLimits, Rate, Renewal, Report, Schedule, Settlement, check_queue, failure_kind,
};
use crate::clock::{Clock, EpochMillis, millis};

/// How often a server that is not there is asked for when connecting.
const ATTEMPTS: u32 = 5;
/// How long a worker that is silent is still said to be there.
const PRESENCE: Duration = Duration::from_secs(30);
/// Jobs that a list looks at in one call at most.
const LOOKED_AT: usize = 10_000;
/// Jobs that one script reads or drops at most.
const STEP: usize = 500;

/// Jobs in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisJobs {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    gatherer: Gatherer,
    bells: Bells,
    events: Follower,
    cancels: Follower,
    /// Queues that this process has entered in the list of queues.
    known: Mutex<HashSet<Arc<str>>>,
    clock: Option<Arc<dyn Clock>>,
    closed: CancellationToken,
}

impl RedisJobs {
    /// Connects, and looks whether the server can hold jobs. A server that is not there
    /// is asked for five times within some three seconds.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for a URL that is none, [`JobError::Unavailable`],
    /// [`JobError::Unsuitable`].
    pub async fn connect(url: &str) -> Result<Self, JobError> {
        Self::connect_with(url, None).await
    }

    /// The same with a clock of the caller's in place of the server's, as tests have.
    ///
    /// # Errors
    /// As [`RedisJobs::connect`].
    pub async fn connect_with(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self, JobError> {
        let jobs = Self::over(Arc::new(Address::parse(url)?), clock);
        let mut rest = Duration::from_millis(100);
        for attempt in 1.. {
            match check::check(&jobs.shared.link).await {
                Err(JobError::Unavailable { .. }) if attempt < ATTEMPTS => {
                    tokio::time::sleep(rest).await;
                    rest *= 2;
                }
                checked => {
                    checked?;
                    break;
                }
            }
        }
        Ok(jobs)
    }

    fn over(address: Arc<Address>, clock: Option<Arc<dyn Clock>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                link: Link::new(address),
                gatherer: Gatherer::default(),
                bells: Bells::default(),
                events: Follower::default(),
                cancels: Follower::default(),
                known: Mutex::default(),
                clock,
                closed: CancellationToken::new(),
            }),
        }
    }

    /// Enters a queue in the list of queues, once a process.
    async fn enter(&self, queue: &Arc<str>) -> Result<(), JobError> {
        check_queue(queue)?;
        if self.shared.closed.is_cancelled() {
            return Err(JobError::Closed);
        }
        if !self.shared.known.lock().contains(queue) {
            let mut add = self.global("SADD", "queues");
            self.shared.link.ask(add.arg(&**queue)).await?;
            self.shared.known.lock().insert(Arc::clone(queue));
        }
        Ok(())
    }

    /// All queues, by name.
    async fn queues(&self) -> Result<Vec<Arc<str>>, JobError> {
        let listed = self
            .shared
            .link
            .ask(&self.global("SMEMBERS", "queues"))
            .await?;
        let mut names: Vec<Arc<str>> = Parts::of(listed)?.filter_map(text).map(Arc::from).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn global(&self, verb: &str, key: &str) -> Cmd {
        let mut command = cmd(verb);
        command.arg(self.shared.link.address().global(key));
        command
    }

    async fn run(
        &self,
        script: &scripts::Script,
        queue: &str,
        args: &Args,
    ) -> Result<Value, JobError> {
        script
            .run(&self.shared.link, &self.shared.head(queue), args)
            .await
    }

    /// The server's time, or the caller's.
    async fn now(&self) -> Result<EpochMillis, JobError> {
        if let Some(clock) = &self.shared.clock {
            return Ok(clock.now());
        }
        let mut parts = Parts::of(self.shared.link.ask(&cmd("TIME")).await?)?;
        let mut number = || parts.text().map(|text| text.parse::<u64>().unwrap_or(0));
        let (seconds, micros) = (number()?, number()?);
        Ok(seconds * 1000 + micros / 1000)
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

    async fn read(&self, queue: &Arc<str>, args: &Args) -> Result<Vec<Option<Job>>, JobError> {
        let parts = Parts::of(self.run(&READ, queue, args).await?)?;
        parts.map(|value| decode::job(queue, value)).collect()
    }

    /// What was pushed and is no JSON after all is given up at once.
    async fn give_up(&self, bad: Vec<Lease>) -> Result<(), JobError> {
        let (Some(first), worker) = (bad.first(), Arc::<str>::from("")) else {
            return Ok(());
        };
        let queue = Arc::clone(&first.queue);
        let error = Failure::new(failure_kind::BAD_PAYLOAD, "what was pushed is no JSON");
        let settle = bad.into_iter().map(|lease| {
            let outcome = Outcome::Fail {
                error: error.clone(),
            };
            Settlement { lease, outcome }
        });
        let exchange = Exchange {
            queue,
            settle: settle.collect(),
            claim: Claim {
                worker,
                max: 0,
                lease: Duration::ZERO,
            },
        };
        let (args, queue) = exchange_args(exchange)?;
        self.run(&EXCHANGE, &queue, &args).await.map(drop)
    }

    async fn settings(&self, queue: &str, settings: &[(&str, String)]) -> Result<(), JobError> {
        self.enter(&queue.into()).await?;
        let args = settings
            .iter()
            .fold(Args::default(), |args, (name, value)| {
                args.with(*name).with(value.as_str())
            });
        self.run(&SETTINGS, queue, &args).await.map(drop)
    }

    fn meta(&self, queue: &str, verb: &str) -> Cmd {
        let mut command = cmd(verb);
        command.arg(format!(
            "{}meta",
            self.shared.link.address().queue_prefix(queue)
        ));
        command
    }
}

impl Shared {
    fn head(&self, queue: &str) -> Head {
        let address = self.link.address();
        Head {
            queue: queue.to_owned(),
            prefix: address.queue_prefix(queue),
            now: self
                .clock
                .as_ref()
                .map_or_else(String::new, |clock| clock.now().to_string()),
            told: matches!(address.kind, address::Kind::Cluster(_)),
        }
    }
}

impl fmt::Debug for RedisJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisJobs({})", self.shared.link.address().shown)
    }
}

fn exchange_args(exchange: Exchange) -> Result<(Args, Arc<str>), JobError> {
    let claim = exchange.claim;
    let mut args = Args::default()
        .with(&*claim.worker)
        .with(claim.max as u64)
        .with(millis(claim.lease));
    for settlement in exchange.settle {
        encode::push_settlement(&mut args, settlement)?;
    }
    Ok((args, exchange.queue))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[async_trait]
impl JobManager for RedisJobs {
    fn backend(&self) -> String {
        self.shared.link.address().shown.clone()
    }

    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        let mut answers: Vec<Option<Enqueued>> = Vec::with_capacity(jobs.len());
        let mut queues: Vec<(Arc<str>, Vec<usize>, Vec<encode::Packed>)> = Vec::new();
        for (n, job) in jobs.into_iter().enumerate() {
            if let Err(refusal) = job.check() {
                answers.push(Some(Enqueued::Refused(refusal)));
                continue;
            }
            answers.push(None);
            let queue = Arc::clone(&job.queue);
            let at = queues
                .iter()
                .position(|(name, _, _)| *name == queue)
                .unwrap_or_else(|| {
                    queues.push((queue, Vec::new(), Vec::new()));
                    queues.len() - 1
                });
            queues[at].1.push(n);
            queues[at].2.push(encode::pack(job)?);
        }
        for (queue, numbers, packed) in queues {
            self.enter(&queue).await?;
            let handed = gather::hand_over(&self.shared, &queue, packed);
            for (n, answer) in numbers.into_iter().zip(handed) {
                answers[n] = Some(answer.await.unwrap_or(Err(JobError::Closed))?);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        self.enter(&exchange.queue).await?;
        let leases: Vec<Lease> = exchange
            .settle
            .iter()
            .map(|one| one.lease.clone())
            .collect();
        let (args, queue) = exchange_args(exchange)?;
        let mut parts = Parts::of(self.run(&EXCHANGE, &queue, &args).await?)?;
        let mut states = Parts::of(parts.next()?)?;
        let mut settled = Vec::with_capacity(leases.len());
        for lease in leases {
            let state = decode::state(states.number()?);
            let stale = || JobError::StaleAttempt {
                id: lease.id.clone(),
                epoch: lease.epoch,
            };
            settled.push(state.ok_or_else(stale));
        }
        let (mut claimed, mut bad) = (Vec::new(), Vec::new());
        let mut taken = Parts::of(parts.next()?)?;
        while !taken.is_empty() {
            match decode::claimed(&queue, &mut taken)? {
                Taken::Job(job) => claimed.push(job),
                Taken::Bad(lease) => bad.push(lease),
            }
        }
        self.give_up(bad).await?;
        let again = u64::try_from(parts.signed()?).ok();
        Ok(Exchanged {
            settled,
            claimed,
            again_in: again.map(Duration::from_millis),
        })
    }

    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError> {
        check_queue(queue)?;
        bell::wait(&self.shared, queue, at_most).await
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError> {
        let mut renewals = vec![Renewal::Lost; leases.len()];
        let mut queues: Vec<(&Arc<str>, Vec<usize>)> = Vec::new();
        for (n, held) in leases.iter().enumerate() {
            match queues.iter_mut().find(|(queue, _)| **queue == held.queue) {
                Some((_, numbers)) => numbers.push(n),
                None => queues.push((&held.queue, vec![n])),
            }
        }
        for (queue, numbers) in queues {
            for some in numbers.chunks(STEP) {
                let mut args = Args::default().with(millis(lease));
                for n in some {
                    args.push(leases[*n].id.as_str());
                    args.push(leases[*n].epoch);
                }
                let mut parts = Parts::of(self.run(&RENEW, queue, &args).await?)?;
                for n in some {
                    renewals[*n] = match parts.number()? {
                        1 => Renewal::Kept,
                        2 => Renewal::CancelRequested,
                        _ => Renewal::Lost,
                    };
                }
            }
        }
        Ok(renewals)
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError> {
        let mut answers = Vec::with_capacity(reports.len());
        for report in reports {
            let Lease { queue, id, epoch } = report.lease;
            let progress = report
                .progress
                .map(|progress| serde_json::to_string(&progress));
            let progress = progress
                .transpose()
                .map_err(|_| garbled())?
                .unwrap_or_default();
            let args = Args::default()
                .with(id.as_str())
                .with(epoch)
                .with(progress.as_str());
            let args = report
                .log
                .iter()
                .fold(args, |args, line| args.with(line.as_str()));
            let taken = self.run(&REPORT, &queue, &args).await? == Value::Int(1);
            answers.push(if taken {
                Ok(())
            } else {
                Err(JobError::StaleAttempt { id, epoch })
            });
        }
        Ok(answers)
    }

    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        let answers = self.verb("cancel", ids).await?;
        Ok(answers
            .into_iter()
            .map(|state| decode::state(state.unsigned_abs()))
            .collect())
    }

    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        let answers = self.verb("delete", ids).await?;
        Ok(answers.into_iter().map(|state| state != 0).collect())
    }

    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError> {
        let answers = self.verb("revive", ids).await?;
        let one = |(id, answer): (&JobId, i64)| {
            let id = id.clone();
            match decode::state(answer.unsigned_abs()) {
                None => Err(JobError::UnknownJob { id }),
                Some(_) if answer > 0 => Ok(()),
                Some(state) => Err(JobError::IllegalMove {
                    id,
                    state,
                    verb: "retried",
                }),
            }
        };
        Ok(ids.iter().zip(answers).map(one).collect())
    }

    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        let mut jobs = vec![None; ids.len()];
        for queue in self.queues().await? {
            let open: Vec<usize> = (0..ids.len()).filter(|n| jobs[*n].is_none()).collect();
            for some in open.chunks(STEP) {
                let args = some.iter().fold(Args::default().with("ids"), |args, n| {
                    args.with(ids[*n].as_str())
                });
                for (n, job) in some.iter().zip(self.read(&queue, &args).await?) {
                    jobs[*n] = job;
                }
            }
        }
        Ok(jobs)
    }

    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        for queue in self.queues().await? {
            let args = Args::default().with(id.as_str());
            if let Value::Array(lines) = self.run(&LOG, &queue, &args).await? {
                let line = |value| {
                    let text = text(value)?;
                    let (at, text) = text.split_once('|')?;
                    Some(LogLine {
                        at: at.parse().ok()?,
                        text: text.to_owned(),
                    })
                };
                return Ok(lines.into_iter().filter_map(line).collect());
            }
        }
        Err(JobError::UnknownJob { id: id.clone() })
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        let mark = filter.after.as_deref().map(Mark::parse).transpose()?;
        let page = filter.page();
        let mut shown = JobPage::default();
        let mut looked_at = 0;
        let mut begin = mark;
        for queue in self.queues().await? {
            if filter
                .queue
                .as_deref()
                .is_some_and(|asked| asked != &*queue)
                || begin.as_ref().is_some_and(|mark| *queue < *mark.queue)
            {
                continue;
            }
            let sets = SETS.iter().enumerate();
            for (set, (name, state)) in sets {
                if filter.state.is_some_and(|asked| asked != *state) {
                    continue;
                }
                let here = begin.as_ref().filter(|mark| *mark.queue == *queue);
                if here.is_some_and(|mark| set < mark.set) {
                    continue;
                }
                let mut at = here
                    .filter(|mark| mark.set == set)
                    .map_or(0, |mark| mark.at);
                loop {
                    let args = Args::default()
                        .with(*name)
                        .with(at as u64)
                        .with(STEP as u64);
                    let jobs = self.read(&queue, &args).await?;
                    let count = jobs.len();
                    for job in jobs {
                        if shown.jobs.len() == page || looked_at == LOOKED_AT {
                            shown.next = Some(
                                Mark {
                                    queue: queue.to_string(),
                                    set,
                                    at,
                                }
                                .to_string(),
                            );
                            return Ok(shown);
                        }
                        at += 1;
                        looked_at += 1;
                        shown.jobs.extend(job.filter(|job| filter.fits(job)));
                    }
                    if count < STEP {
                        break;
                    }
                }
            }
            begin = begin.filter(|mark| *mark.queue > *queue);
        }
        Ok(shown)
    }

    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError> {
        let mut all = Vec::new();
        for queue in self.queues().await? {
            let mut parts = Parts::of(self.run(&COUNTS, &queue, &Args::default()).await?)?;
            all.push(QueueCounts {
                queue: queue.to_string(),
                waiting: parts.number()?,
                delayed: parts.number()?,
                running: parts.number()?,
                completed: parts.number()?,
                failed: parts.number()?,
                cancelled: parts.number()?,
                bytes: parts.number()?,
                oldest_ms: u64::try_from(parts.signed()?).ok(),
                paused: parts.number()? == 1,
            });
        }
        Ok(all)
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError> {
        let value = if paused { "1" } else { "" };
        self.settings(queue, &[("paused", value.to_owned())]).await
    }

    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError> {
        check_queue(queue)?;
        limits.check()?;
        let some = |limit: Option<u32>| limit.map_or_else(String::new, |limit| limit.to_string());
        let (gap, window) = limits.rate.map_or_else(Default::default, |rate| {
            let (gap, window) = super::queue::RateState::gap_and_window(rate);
            (gap.to_string(), window.to_string())
        });
        let rate = limits.rate.map(|rate| serde_json::to_string(&rate));
        let rate = rate.transpose().map_err(|_| garbled())?.unwrap_or_default();
        let settings = [
            ("concurrency", some(limits.concurrency)),
            ("group_concurrency", some(limits.group_concurrency)),
            ("rate", rate),
            ("rate_gap", gap),
            ("rate_window", window),
            ("max_bytes", limits.max_bytes.to_string()),
            ("max_payload", limits.max_payload.to_string()),
            ("keep_failed", limits.keep_failed.to_string()),
            ("failed_ttl", limits.failed_ttl_ms.to_string()),
            ("keep_finished", limits.keep_finished.to_string()),
        ];
        self.settings(queue, &settings).await
    }

    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        check_queue(queue)?;
        let fields = [
            "concurrency",
            "group_concurrency",
            "rate",
            "max_bytes",
            "max_payload",
            "keep_failed",
            "failed_ttl",
            "keep_finished",
        ];
        let mut ask = self.meta(queue, "HMGET");
        let answer = self.shared.link.ask(ask.arg(&fields)).await?;
        let mut values = Parts::of(answer)?.map(text);
        let mut next = || values.next().flatten();
        let usual = QueueLimits::default();
        let number = |text: Option<String>, usual: u64| {
            text.and_then(|text| text.parse().ok()).unwrap_or(usual)
        };
        let small = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(QueueLimits {
            concurrency: small(next()),
            group_concurrency: small(next()),
            rate: next().and_then(|text| serde_json::from_str::<Rate>(&text).ok()),
            max_bytes: number(next(), usual.max_bytes),
            max_payload: number(next(), usual.max_payload),
            keep_failed: small(next()).unwrap_or(usual.keep_failed),
            failed_ttl_ms: number(next(), usual.failed_ttl_ms),
            keep_finished: small(next()).unwrap_or(usual.keep_finished),
        })
    }

    async fn sweep(&self) -> Result<usize, JobError> {
        let mut moved = 0;
        for queue in self.queues().await? {
            let args = Args::default().with(STEP as u64);
            match self.run(&SWEEP, &queue, &args).await? {
                Value::Int(count) => moved += usize::try_from(count).unwrap_or(0),
                _ => return Err(garbled()),
            }
        }
        Ok(moved)
    }

    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        check_queue(queue)?;
        let before = self.now().await?.saturating_sub(millis(older_than));
        let mut dropped = 0;
        for state in states.iter().filter(|state| state.is_finished()) {
            let mut at = 0;
            loop {
                let args = Args::default()
                    .with(state.as_str())
                    .with(before)
                    .with(at)
                    .with(STEP as u64);
                let mut parts = Parts::of(self.run(&PURGE, queue, &args).await?)?;
                let (seen, gone) = (parts.number()?, parts.number()?);
                dropped += gone;
                at += seen - gone;
                if seen < STEP as u64 {
                    break;
                }
            }
        }
        Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
    }

    async fn put_schedule(&self, mut schedule: Schedule) -> Result<(), JobError> {
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

    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError> {
        let mut delete = self.global("HDEL", "schedules");
        Ok(self.shared.link.ask(delete.arg(name)).await? == Value::Int(1))
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, JobError> {
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

    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError> {
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

    async fn announce(&self, presence: &Presence) -> Result<(), JobError> {
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

    async fn workers(&self) -> Result<Vec<Presence>, JobError> {
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

    async fn events(&self) -> Result<EventStream, JobError> {
        let receiver = follow::subscribe(&self.shared, Feed::Events).await?;
        Ok(super::event::followed(receiver, self.shared.closed.clone()))
    }

    async fn cancel_requests(&self) -> Result<EventStream, JobError> {
        let receiver = follow::subscribe(&self.shared, Feed::Cancels).await?;
        Ok(super::event::followed(receiver, self.shared.closed.clone()))
    }

    async fn apart(&self) -> Result<Arc<dyn JobManager>, JobError> {
        let address = Arc::clone(self.shared.link.address());
        Ok(Arc::new(Self::over(address, self.shared.clock.clone())))
    }

    async fn close(&self) {
        self.shared.closed.cancel();
    }
}

/// Where the jobs of each state are, in the order of a list.
const SETS: [(&str, JobState); 7] = [
    ("ready", JobState::Waiting),
    ("parked", JobState::Waiting),
    ("delayed", JobState::Delayed),
    ("lease", JobState::Running),
    ("completed", JobState::Completed),
    ("failed", JobState::Failed),
    ("cancelled", JobState::Cancelled),
];

/// Where a page begins.
struct Mark {
    queue: String,
    set: usize,
    at: usize,
}

impl Mark {
    fn parse(text: &str) -> Result<Self, JobError> {
        let parsed = || {
            let mut parts = text.splitn(3, '|');
            let (set, at) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let queue = parts.next()?.to_owned();
            Some(Self { queue, set, at })
        };
        parsed().ok_or_else(|| JobError::invalid("after", "it is not the `next` of a page"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.set, self.at, self.queue)
    }
}
