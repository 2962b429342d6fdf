//! Whatever goes wrong, what was accepted is finished, with one outcome.
//!
//! A driver enqueues, cancels, kills workers with SIGKILL, restarts Redis, cuts and
//! delays connections, by chance from a seed; the workers' clocks jump all the while.
//! Then the faults end, and everything that was accepted must come to an end.
//! `CHAOS_SECONDS` is how long the faults go on for each backend (default 60), `SEED`
//! repeats a run.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use credential_rotation::clock::{Clock, EpochMillis, SystemClock};
use credential_rotation::connect;
use credential_rotation::job::sqlite::{Durability, SqliteJobs};
use credential_rotation::job::worker::{Context, HandlerError, Worker};
use credential_rotation::job::{
    Enqueued, Failure, JobError, JobId, JobSpec, JobState, Payload, RetryPolicy, SharedJobs,
};
use servers::Redis;
use servers::proxy::Proxy;

const QUEUE: &str = "chaos";
const LEASE: Duration = Duration::from_millis(800);
const WORKERS: usize = 3;
/// How long everything may take to end once the faults are over.
const PATIENCE: Duration = Duration::from_secs(90);

fn seconds() -> u64 {
    let set = std::env::var("CHAOS_SECONDS").ok();
    set.and_then(|seconds| seconds.parse().ok()).unwrap_or(60)
}

fn chance() -> fastrand::Rng {
    let set = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = set.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// The machine's clock as one that somebody keeps setting, by up to three leases. Set
/// back it stands still, as clocks of this crate do.
#[derive(Debug, Default)]
struct MovedClock {
    offset: AtomicI64,
    shown: AtomicU64,
}

impl MovedClock {
    /// Moved until there is a file of this name.
    fn until(calm: PathBuf) -> Arc<Self> {
        let clock = Arc::new(Self::default());
        let moved = Arc::clone(&clock);
        std::thread::spawn(move || {
            let most = i64::try_from(3 * LEASE.as_millis()).unwrap();
            while !calm.exists() {
                let offset = fastrand::i64(-most..=most);
                moved.offset.store(offset, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(fastrand::u64(50..1_000)));
            }
            moved.offset.store(0, Ordering::Relaxed);
        });
        clock
    }
}

impl Clock for MovedClock {
    fn now(&self) -> EpochMillis {
        let offset = self.offset.load(Ordering::Relaxed);
        let now = SystemClock.now().saturating_add_signed(offset);
        self.shown.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// The jobs of a worker. Where the backend goes by the processes' clocks, by this one.
async fn jobs_by(clock: &Arc<MovedClock>, url: &str) -> Result<SharedJobs, JobError> {
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let clock = Arc::clone(clock) as Arc<dyn Clock>;
            let jobs = SqliteJobs::open_with(Path::new(path), clock, Durability::Full)?;
            Ok(Arc::new(jobs))
        }
        None => connect::jobs(url).await,
    }
}

/// The file that says that the faults are over.
fn calm(ledger: &str) -> PathBuf {
    Path::new(ledger).with_file_name("calm")
}

/// Not a test of its own: a worker in a process that can be killed. Writes down each
/// attempt before it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the other tests, in processes of their own"]
async fn works() {
    let url = std::env::var("CHAOS_URL").unwrap();
    let ledger = std::env::var("CHAOS_LEDGER").unwrap();
    let clock = MovedClock::until(calm(&ledger));
    let jobs = loop {
        match jobs_by(&clock, &url).await {
            Ok(jobs) => break jobs,
            Err(JobError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    };
    let handler = move |job: Context| {
        let ledger = ledger.clone();
        async move {
            let n: u64 = job.payload().read()?;
            if n % 200 == 7 {
                // Blocks its runtime's thread for longer than a lease.
                std::thread::sleep(LEASE * 2);
            } else {
                tokio::time::sleep(Duration::from_millis(n % 30)).await;
            }
            let token = format!("{}#{}", job.id(), job.lease().epoch);
            let mut file = OpenOptions::new().append(true).create(true).open(&ledger)?;
            // In one write: others write too.
            file.write_all(format!("{token}\n").as_bytes())?;
            if n % 11 == 3 && job.attempt() < 3 {
                return Err(HandlerError::Failed(Failure::new("error", "not yet")));
            }
            Ok(Payload::of(&token)?)
        }
    };
    let worker = Worker::builder(jobs)
        .lane(QUEUE, 8)
        .handler(QUEUE, handler)
        .lease(LEASE)
        .clock(clock)
        .build()
        .unwrap();
    worker.run_until_signalled().await.unwrap();
}

struct Crew {
    url: String,
    ledger: String,
    workers: Vec<Child>,
}

impl Crew {
    fn new(url: String, folder: &Path) -> Self {
        let ledger = folder.join("ledger").display().to_string();
        let mut crew = Self {
            url,
            ledger,
            workers: Vec::new(),
        };
        for _ in 0..WORKERS {
            crew.start();
        }
        crew
    }

    fn start(&mut self) {
        let worker = Command::new(std::env::current_exe().unwrap())
            .args(["works", "--ignored", "--exact", "--nocapture"])
            .env("CHAOS_URL", &self.url)
            .env("CHAOS_LEDGER", &self.ledger)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.workers.push(worker);
    }

    fn replace(&mut self, nth: usize) {
        let mut killed = self.workers.swap_remove(nth);
        killed.kill().unwrap();
        killed.wait().unwrap();
        self.start();
    }

    fn attempts(&self) -> HashSet<String> {
        let text = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// What the producer knows: it does not take no answer for a refusal.
#[derive(Default)]
struct Producer {
    next: u64,
    accepted: BTreeSet<JobId>,
    /// Sent without an answer: sent again under the same id until there is one.
    unsure: BTreeMap<JobId, JobSpec>,
}

impl Producer {
    async fn produce(&mut self, jobs: &SharedJobs, chance: &mut fastrand::Rng) {
        let mut batch: Vec<JobSpec> = std::mem::take(&mut self.unsure).into_values().collect();
        for _ in 0..chance.usize(1..20) {
            self.next += 1;
            let spec = JobSpec::new(QUEUE, Payload::of(&self.next).unwrap()).with(|job| {
                job.id = Some(JobId::from_text(format!("job-{}", self.next)).unwrap());
                job.delay_ms = (chance.u8(0..4) == 0).then(|| chance.u64(0..500));
                job.priority = chance.i16(-1..2);
                job.group = chance
                    .bool()
                    .then(|| format!("g{}", chance.u8(0..4)).into());
                job.retry = RetryPolicy::Fixed {
                    delay_ms: 20,
                    jitter: 0.0,
                };
                job.max_stalls = 1_000;
            });
            batch.push(spec);
        }
        let ids: Vec<JobId> = batch.iter().filter_map(|job| job.id.clone()).collect();
        match jobs.enqueue(batch.clone()).await {
            Ok(answers) => {
                for (id, answer) in ids.into_iter().zip(answers) {
                    match answer {
                        Enqueued::Added(_) | Enqueued::Duplicate(_) => {
                            self.accepted.insert(id);
                        }
                        Enqueued::Refused(error) => panic!("{id}: {error}"),
                    }
                }
            }
            Err(JobError::Unavailable { .. }) => self.unsure.extend(ids.into_iter().zip(batch)),
            Err(other) => panic!("{other}"),
        }
    }

    /// Everything has an answer, and everything accepted has come to an end.
    async fn settle(&mut self, jobs: &SharedJobs, crew: &Crew) {
        std::fs::write(calm(&crew.ledger), "").unwrap();
        let end = Instant::now() + PATIENCE;
        let mut chance = fastrand::Rng::with_seed(1);
        while !self.unsure.is_empty() {
            self.produce(jobs, &mut chance).await;
            assert!(Instant::now() < end, "the backend does not come back");
        }
        let ids: Vec<JobId> = self.accepted.iter().cloned().collect();
        let found = loop {
            let found = jobs.get(&ids).await.unwrap_or_default();
            let open = found
                .iter()
                .flatten()
                .filter(|job| !job.status.state.is_finished());
            if found.len() == ids.len() && open.clone().count() == 0 {
                break found;
            }
            let open: Vec<_> = open.take(3).collect();
            assert!(
                Instant::now() < end,
                "not finished: {open:?}, {:?}",
                jobs.counts().await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let attempts = crew.attempts();
        let (mut completed, mut cancelled) = (0, 0);
        for (id, job) in ids.iter().zip(found) {
            let job = job.unwrap_or_else(|| panic!("{id} was accepted and is lost"));
            match job.status.state {
                JobState::Completed => {
                    completed += 1;
                    // The outcome is of an attempt that was made, the last one.
                    let token: String = job.status.result.unwrap().read().unwrap();
                    assert!(attempts.contains(&token), "{id}: {token}");
                    assert_eq!(token, format!("{id}#{}", job.status.epoch));
                }
                JobState::Cancelled => cancelled += 1,
                other => panic!("{id} is {other:?}: {:?}", job.status.error),
            }
        }
        let counts = jobs.counts().await.unwrap().remove(0);
        println!(
            "{completed} completed, {cancelled} cancelled, {} attempts",
            attempts.len()
        );
        assert_eq!((counts.completed, counts.cancelled), (completed, cancelled));
        assert_eq!(
            (
                counts.waiting,
                counts.delayed,
                counts.running,
                counts.failed
            ),
            (0, 0, 0, 0)
        );
        assert_eq!(counts.bytes, 0);
        assert!(completed > 50, "{completed}");
    }
}

async fn cancel_some(jobs: &SharedJobs, producer: &Producer, chance: &mut fastrand::Rng) {
    let last = producer.next;
    let ids: Vec<JobId> = (0..3)
        .map(|_| JobId::from_text(format!("job-{}", chance.u64(0..=last))).unwrap())
        .collect();
    match jobs.cancel(&ids).await {
        Ok(_) | Err(JobError::Unavailable { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis_nothing_accepted_is_lost_or_ends_twice() {
    if !servers::redis_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let proxy = Proxy::before(redis.port).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port);
    let jobs = connect::jobs(&url).await.unwrap();
    let mut crew = Crew::new(url, folder.path());
    let (mut chance, mut producer) = (chance(), Producer::default());
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        match chance.u8(0..40) {
            0..=1 => crew.replace(chance.usize(0..WORKERS)),
            2 => tokio::task::block_in_place(|| redis.restart()),
            3..=4 => proxy.cut(),
            5 => proxy.delay(Duration::from_millis(chance.u64(1..300))),
            6..=8 => proxy.delay(Duration::ZERO),
            9..=12 => cancel_some(&jobs, &producer, &mut chance).await,
            _ => producer.produce(&jobs, &mut chance).await,
        }
        tokio::time::sleep(Duration::from_millis(chance.u64(0..60))).await;
    }
    proxy.delay(Duration::ZERO);
    producer.settle(&jobs, &crew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sqlite_nothing_accepted_is_lost_or_ends_twice() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    let mut crew = Crew::new(url, folder.path());
    let (mut chance, mut producer) = (chance(), Producer::default());
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        match chance.u8(0..40) {
            0..=3 => crew.replace(chance.usize(0..WORKERS)),
            4..=7 => cancel_some(&jobs, &producer, &mut chance).await,
            _ => producer.produce(&jobs, &mut chance).await,
        }
        tokio::time::sleep(Duration::from_millis(chance.u64(0..60))).await;
    }
    producer.settle(&jobs, &crew).await;
}
