//! Chance does the same to SQLite and to memory, and both must answer the same.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::{Durability, SqliteJobs};
use crate::job::memory::MemoryJobs;
use crate::job::{
    Claim, Exchange, Failure, Job, JobFilter, JobId, JobManager, JobSpec, JobState, Lease, Outcome,
    Payload, QueueCounts, QueueLimits, Rate, Settlement, WEBHOOK_KIND,
};
use crate::testing::ManualClock;

const STEPS: usize = 1_500;
/// A lease that lasts for all of them.
const LONG: Duration = Duration::from_secs(60 * 60);
const QUEUES: [&str; 2] = ["a", "b"];

struct Twin {
    chance: fastrand::Rng,
    clock: Arc<ManualClock>,
    sqlite: SqliteJobs,
    memory: MemoryJobs,
    made: u32,
    leases: Vec<Lease>,
    /// Whether jobs have webhooks. Then no lease runs out: which of two that end at once is
    /// told of first is left open.
    hooked: bool,
}

impl Twin {
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
        JobSpec::new(queue, Payload::from_json(payload).unwrap()).with(|spec| {
            spec.id = Some(JobId::from_text(format!("j{made}")).unwrap());
            spec.priority = chance.i16(-2..3);
            spec.max_stalls = chance.u32(0..3);
            spec.result_ttl_ms = [0, 500, 3_600_000][chance.usize(0..3)];
            spec.delay_ms = (chance.u8(0..4) == 0).then(|| chance.u64(0..3_000));
            spec.deadline = (chance.u8(0..8) == 0).then(|| 1_000_000 + chance.u64(0..60_000));
            spec.group = (chance.bool()).then(|| format!("g{}", chance.u8(0..4)).into());
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
        let chance = &mut self.chance;
        QueueLimits {
            concurrency: chance.bool().then(|| chance.u32(1..10)),
            group_concurrency: chance.bool().then(|| chance.u32(1..3)),
            rate: chance.bool().then(|| Rate {
                jobs: chance.u32(1..5),
                per_ms: 1_000,
                burst: None,
            }),
            max_bytes: chance.u64(20_000..200_000),
            // Which of two that end at once goes first is left open.
            keep_failed: [0, 9_999][chance.usize(0..2)],
            keep_finished: [0, 9_999][chance.usize(0..2)],
            ..QueueLimits::default()
        }
    }

    async fn step(&mut self) {
        let (sqlite, memory) = (self.sqlite.clone(), self.memory.clone());
        match self.chance.u8(0..20) {
            0..6 => {
                let jobs: Vec<JobSpec> = (0..self.chance.u8(1..5)).map(|_| self.spec()).collect();
                same(
                    sqlite.enqueue(jobs.clone()).await,
                    memory.enqueue(jobs).await,
                );
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
                    queue,
                    settle,
                    claim: Claim {
                        worker: "w".into(),
                        max: self.chance.usize(0..6),
                        lease: self.lease(),
                    },
                };
                let one = sqlite.exchange(exchange.clone()).await.unwrap();
                let other = memory.exchange(exchange).await.unwrap();
                self.leases
                    .extend(one.claimed.iter().map(|claimed| claimed.lease.clone()));
                let excess = self.leases.len().saturating_sub(30);
                self.leases.drain(..excess);
                same(Ok(one), Ok(other));
            }
            12 => {
                let term = self.lease();
                let leases = self.leases.clone();
                same(
                    sqlite.renew(&leases, term).await,
                    memory.renew(&leases, term).await,
                );
            }
            13 => {
                let ids = [self.id(), self.id()];
                same(sqlite.cancel(&ids).await, memory.cancel(&ids).await);
            }
            14 => {
                let ids = [self.id(), self.id()];
                same(sqlite.delete(&ids).await, memory.delete(&ids).await);
            }
            15 => {
                let ids = [self.id(), self.id()];
                same(sqlite.revive(&ids).await, memory.revive(&ids).await);
            }
            16 => self
                .clock
                .advance(Duration::from_millis(self.chance.u64(0..1_500))),
            17 => same(sqlite.sweep().await, memory.sweep().await),
            18 => {
                let (queue, old) = (self.queue(), Duration::from_secs(self.chance.u64(0..9)));
                let states = [JobState::Completed, JobState::Failed];
                same(
                    sqlite.purge(queue, &states, old).await,
                    memory.purge(queue, &states, old).await,
                );
            }
            _ => {
                let (queue, limits) = (self.queue(), self.limits());
                let paused = self.chance.u8(0..4) == 0;
                same(
                    sqlite.set_limits(queue, limits.clone()).await,
                    memory.set_limits(queue, limits).await,
                );
                same(
                    sqlite.set_paused(queue, paused).await,
                    memory.set_paused(queue, paused).await,
                );
            }
        }
        let counts = (sqlite.counts().await, memory.counts().await);
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

fn same<T: Debug>(one: Result<T, crate::job::JobError>, other: Result<T, crate::job::JobError>) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

#[tokio::test]
async fn sqlite_answers_as_memory_does() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    for hooked in [false, true] {
        both_answer_the_same(seed, hooked).await;
    }
}

async fn both_answer_the_same(seed: u64, hooked: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let clock = Arc::new(ManualClock::new(1_000_000));
    let mut twin = Twin {
        chance: fastrand::Rng::with_seed(seed),
        sqlite: SqliteJobs::open_with(&path, clock.clone(), Durability::Normal).unwrap(),
        memory: MemoryJobs::with_clock(clock.clone()),
        clock,
        made: 0,
        leases: Vec::new(),
        hooked,
    };
    for queue in QUEUES {
        twin.sqlite.set_paused(queue, false).await.unwrap();
        twin.memory.set_paused(queue, false).await.unwrap();
    }
    for step in 0..STEPS {
        println!("step {step}");
        twin.step().await;
    }
    let ids: Vec<JobId> = (1..=twin.made)
        .map(|n| JobId::from_text(format!("j{n}")).unwrap())
        .collect();
    for id in &ids {
        let one = std::slice::from_ref(id);
        let (kept, twin) = (twin.sqlite.get(one).await, twin.memory.get(one).await);
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
    let kept = by_id(twin.sqlite.list(&all).await.unwrap().jobs);
    assert_eq!(kept, by_id(twin.memory.list(&all).await.unwrap().jobs));
    let listed = kept.iter().filter(|job| job.spec.kind() != WEBHOOK_KIND);
    let found = twin.sqlite.get(&ids).await.unwrap();
    assert_eq!(listed.count(), found.into_iter().flatten().count());
}
