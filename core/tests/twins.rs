//! Chance does the same to a backend and to memory, and both must answer the same: so the
//! rules, which memory and SQLite share, hold in the scripts of Redis too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::job::redis::RedisJobs;
use credential_rotation::job::sqlite::{Durability, SqliteJobs};
use credential_rotation::job::{
    Claim, Exchange, Failure, Job, JobError, JobFilter, JobId, JobManager, JobSpec, JobState,
    Lease, Outcome, Payload, QueueCounts, QueueLimits, Rate, Settlement, SharedJobs, WEBHOOK_KIND,
};
use credential_rotation::testing::ManualClock;

const START: u64 = 1_000_000;
const STEPS: usize = 1_500;
/// A lease that lasts for all of them.
const LONG: Duration = Duration::from_secs(60 * 60);
const QUEUES: [&str; 2] = ["a", "b"];

/// Which groups jobs are of. Redis leaves open which of two goes first whose turns are
/// equal, and which of one group's jobs does when the next one's deadline has passed.
#[derive(Clone, Copy)]
enum Groups {
    Many,
    One,
    None,
}

struct Twin {
    chance: fastrand::Rng,
    clock: Arc<ManualClock>,
    one: SharedJobs,
    memory: MemoryJobs,
    made: u32,
    leases: Vec<Lease>,
    /// Whether jobs have webhooks. Then no lease runs out: which of two that end at once is
    /// told of first is left open.
    hooked: bool,
    /// Whether what is kept no longer goes at once. Then all is kept, and what a sweep drops
    /// is not counted.
    lazy: bool,
    groups: Groups,
}

impl Twin {
    fn new(seed: u64, one: SharedJobs, clock: Arc<ManualClock>, hooked: bool) -> Self {
        Self {
            chance: fastrand::Rng::with_seed(seed),
            one,
            memory: MemoryJobs::with_clock(clock.clone()),
            clock,
            made: 0,
            leases: Vec::new(),
            hooked,
            lazy: false,
            groups: Groups::Many,
        }
    }

    fn queue(&mut self) -> &'static str {
        QUEUES[self.chance.usize(0..QUEUES.len())]
    }

    // Sometimes one that was never made.
    fn id(&mut self) -> JobId {
        let delivery = if self.chance.u8(0..4) == 0 {
            "webhook:"
        } else {
            ""
        };
        JobId::from_text(format!("{delivery}j{}", self.chance.u32(0..=self.made))).unwrap()
    }

    fn spec(&mut self) -> JobSpec {
        self.made += 1;
        let made = self.made;
        let payload = format!("\"{}\"", "x".repeat(self.chance.usize(0..1_500)));
        let (chance, queue) = (self.chance.clone(), self.queue());
        let (mut chance, hooked) = (chance, self.hooked);
        let (groups, lazy) = (self.groups, self.lazy);
        JobSpec::new(queue, Payload::from_json(payload).unwrap()).with(|spec| {
            spec.id = Some(JobId::from_text(format!("j{made}")).unwrap());
            spec.priority = chance.i16(-2..3);
            spec.max_stalls = chance.u32(0..3);
            let ttl_ms = [0, 500, 3_600_000][chance.usize(0..3)];
            spec.result_ttl_ms = if lazy && ttl_ms == 500 { 0 } else { ttl_ms };
            spec.delay_ms = (chance.u8(0..4) == 0).then(|| chance.u64(0..3_000));
            let dated = chance.u8(0..8) == 0 && !matches!(groups, Groups::One);
            spec.deadline = dated.then(|| START + chance.u64(0..60_000));
            spec.group = match groups {
                Groups::Many => (chance.bool()).then(|| format!("g{}", chance.u8(0..4)).into()),
                Groups::One => Some("g".into()),
                Groups::None => None,
            };
            spec.webhook = (hooked && chance.u8(0..4) == 0).then(|| "https://example.com".into());
            if chance.u8(0..4) == 0 {
                spec.unique_key = Some(format!("u{}", chance.u8(0..6)).into());
                spec.unique_for_ms = chance.bool().then(|| chance.u64(0..5_000));
            }
        })
    }

    fn lease(&mut self) -> Duration {
        let short = Duration::from_millis(self.chance.u64(500..4_000));
        if self.hooked { LONG } else { short }
    }

    fn outcome(&mut self) -> Outcome {
        let error = Failure::new("error", "no");
        let after = Duration::from_millis(self.chance.u64(0..3_000));
        match self.chance.u8(0..8) {
            0 => Outcome::Retry { error, after },
            1 => Outcome::Fail { error },
            2 => Outcome::Snooze { after },
            3 => Outcome::Release,
            4 => Outcome::Cancel,
            _ => Outcome::Complete {
                result: Payload::from_json("[1]").unwrap(),
            },
        }
    }

    fn limits(&mut self) -> QueueLimits {
        let (chance, lazy) = (&mut self.chance, self.lazy);
        let mut keep = || [0, 9_999][chance.usize(0..2).max(usize::from(lazy))];
        // Which of two that end at once goes first is left open.
        let (keep_failed, keep_finished) = (keep(), keep());
        QueueLimits {
            concurrency: chance.bool().then(|| chance.u32(1..10)),
            group_concurrency: chance.bool().then(|| chance.u32(1..3)),
            rate: chance.bool().then(|| Rate {
                jobs: chance.u32(1..5),
                per_ms: 1_000,
                burst: None,
            }),
            max_bytes: chance.u64(20_000..200_000),
            keep_failed,
            keep_finished,
            ..QueueLimits::default()
        }
    }

    async fn live(mut self) {
        for queue in QUEUES {
            self.one.set_paused(queue, false).await.unwrap();
            self.memory.set_paused(queue, false).await.unwrap();
        }
        for step in 0..STEPS {
            println!("step {step}");
            self.step().await;
        }
        let ids: Vec<JobId> = (1..=self.made)
            .map(|n| JobId::from_text(format!("j{n}")).unwrap())
            .collect();
        for id in &ids {
            let id = std::slice::from_ref(id);
            let (kept, twin) = (self.one.get(id).await, self.memory.get(id).await);
            assert_eq!(kept.unwrap(), twin.unwrap());
        }
        let all = JobFilter {
            limit: Some(1_000),
            ..JobFilter::default()
        };
        let by_id = |mut jobs: Vec<Job>| {
            jobs.sort_by(|one, other| one.id.cmp(&other.id));
            jobs
        };
        let kept = by_id(self.one.list(&all).await.unwrap().jobs);
        assert_eq!(kept, by_id(self.memory.list(&all).await.unwrap().jobs));
        let listed = kept.iter().filter(|job| job.spec.kind() != WEBHOOK_KIND);
        let found = self.one.get(&ids).await.unwrap();
        assert_eq!(listed.count(), found.into_iter().flatten().count());
    }

    async fn step(&mut self) {
        let (one, memory) = (Arc::clone(&self.one), self.memory.clone());
        match self.chance.u8(0..20) {
            0..6 => {
                let jobs: Vec<JobSpec> = (0..self.chance.u8(1..5)).map(|_| self.spec()).collect();
                same(one.enqueue(jobs.clone()).await, memory.enqueue(jobs).await);
            }
            6..12 => {
                let queue: Arc<str> = self.queue().into();
                let mut settle = Vec::new();
                for _ in 0..self.chance.usize(0..4) {
                    if !self.leases.is_empty() {
                        let nth = self.chance.usize(0..self.leases.len());
                        let lease = self.leases[nth].clone();
                        if lease.queue == queue {
                            let outcome = self.outcome();
                            settle.push(Settlement { lease, outcome });
                        }
                    }
                }
                let exchange = Exchange {
                    queue: Arc::clone(&queue),
                    settle,
                    claim: Claim {
                        worker: "w".into(),
                        max: self.chance.usize(0..6),
                        lease: self.lease(),
                    },
                };
                let mut exchanged = one.exchange(exchange.clone()).await.unwrap();
                let other = memory.exchange(exchange).await.unwrap();
                self.leases.extend(
                    exchanged
                        .claimed
                        .iter()
                        .map(|claimed| claimed.lease.clone()),
                );
                let excess = self.leases.len().saturating_sub(30);
                self.leases.drain(..excess);
                if self.lazy {
                    // It may ask again too soon, but not too late; where groups are limited,
                    // memory asks for jobs that it has not yet found to wait for their group.
                    let never = Duration::MAX;
                    let again = (exchanged.again_in, other.again_in);
                    let limited = memory.limits(&queue).await.unwrap().group_concurrency;
                    assert!(
                        limited.is_some() || again.0.unwrap_or(never) <= again.1.unwrap_or(never),
                        "{again:?}"
                    );
                    exchanged.again_in = other.again_in;
                }
                same(Ok(exchanged), Ok(other));
            }
            12 => {
                let term = self.lease();
                let leases = self.leases.clone();
                same(
                    one.renew(&leases, term).await,
                    memory.renew(&leases, term).await,
                );
            }
            13 => {
                let ids = [self.id(), self.id()];
                same(one.cancel(&ids).await, memory.cancel(&ids).await);
            }
            14 => {
                let ids = [self.id(), self.id()];
                same(one.delete(&ids).await, memory.delete(&ids).await);
            }
            15 => {
                let ids = [self.id(), self.id()];
                same(one.revive(&ids).await, memory.revive(&ids).await);
            }
            16 => self
                .clock
                .advance(Duration::from_millis(self.chance.u64(0..1_500))),
            17 => {
                let (swept, other) = (one.sweep().await, memory.sweep().await);
                if !self.lazy {
                    same(swept, other);
                }
            }
            18 => {
                let (queue, old) = (self.queue(), Duration::from_secs(self.chance.u64(0..9)));
                let states = [JobState::Completed, JobState::Failed];
                same(
                    one.purge(queue, &states, old).await,
                    memory.purge(queue, &states, old).await,
                );
            }
            _ => {
                let (queue, limits) = (self.queue(), self.limits());
                let paused = self.chance.u8(0..4) == 0;
                same(
                    one.set_limits(queue, limits.clone()).await,
                    memory.set_limits(queue, limits).await,
                );
                same(
                    one.set_paused(queue, paused).await,
                    memory.set_paused(queue, paused).await,
                );
            }
        }
        if self.lazy && matches!(self.groups, Groups::None) {
            // Here jobs have deadlines, which Redis looks at once a second, or when it sweeps.
            while one.sweep().await.unwrap() > 0 {}
            while memory.sweep().await.unwrap() > 0 {}
        }
        let counts = (one.counts().await, memory.counts().await);
        same(counts.0.map(without_age), counts.1.map(without_age));
    }
}

// Which jobs wait aside, and so are not the next one, is known by a claim only.
fn without_age(mut counts: Vec<QueueCounts>) -> Vec<QueueCounts> {
    for one in &mut counts {
        one.oldest_ms = None;
    }
    counts
}

fn same<T: Debug>(one: Result<T, JobError>, other: Result<T, JobError>) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn chance() -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    seed
}

#[tokio::test]
async fn sqlite_answers_as_memory_does() {
    let seed = chance();
    for hooked in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let clock = Arc::new(ManualClock::new(START));
        let sqlite = SqliteJobs::open_with(&path, clock.clone(), Durability::Normal).unwrap();
        let twin = Twin::new(seed, Arc::new(sqlite), clock, hooked);
        twin.live().await;
    }
}

#[tokio::test]
async fn redis_answers_as_memory_does() {
    if !servers::redis_is_there() {
        return;
    }
    let seed = chance();
    let redis = servers::Redis::start(&[]);
    for groups in [Groups::One, Groups::None] {
        redis.cli(&["FLUSHALL"]);
        let clock = Arc::new(ManualClock::new(START));
        let jobs = RedisJobs::connect_with(&redis.url(), Some(clock.clone()))
            .await
            .unwrap();
        let mut twin = Twin::new(seed, Arc::new(jobs), clock, false);
        twin.lazy = true;
        twin.groups = groups;
        twin.live().await;
    }
}
