//! What runs in processes of its own: workers, and one who holds the file of jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use credential_rotation::clock::{Clock, EpochMillis, SystemClock};
use credential_rotation::connect;
use credential_rotation::job::sqlite::{Durability, SqliteJobs};
use credential_rotation::job::worker::{Context, HandlerError, Worker};
use credential_rotation::job::{Failure, JobError, Lease, Payload, SharedJobs};

use crate::crew::{CALM, HOLD_MS, LEDGER, URL, WORKER_SEED};
use crate::{LEASE, QUEUE};

/// How long a worker that is told to stop waits for its jobs.
const GRACE: Duration = Duration::from_millis(200);

/// The machine's clock as one that somebody keeps setting, by up to three leases. Set
/// back it stands still, as clocks of this crate do.
#[derive(Debug, Default)]
struct MovedClock {
    offset: AtomicI64,
    shown: AtomicU64,
}

impl MovedClock {
    /// Moved until there is a file of this name.
    fn until(calm: PathBuf, mut chance: fastrand::Rng) -> Arc<Self> {
        let clock = Arc::new(Self::default());
        let moved = Arc::clone(&clock);
        std::thread::spawn(move || {
            let most = i64::try_from(3 * LEASE.as_millis()).unwrap();
            while !calm.exists() {
                let offset = chance.i64(-most..=most);
                moved.offset.store(offset, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(chance.u64(50..1_000)));
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

/// What an attempt writes down, and what comes of it.
pub(crate) fn token(lease: &Lease) -> String {
    format!("{}#{}", lease.id, lease.epoch)
}

/// Whether this attempt at the n-th job is one that fails.
pub(crate) fn fails(n: u64, attempt: u32) -> bool {
    attempt < attempts_of(n)
}

/// How many attempts the n-th job takes.
pub(crate) fn attempts_of(n: u64) -> u32 {
    if n % 11 == 3 { 3 } else { 1 }
}

/// Writes an attempt down, before its end is sent.
pub(crate) fn write_down(ledger: &Path, token: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(ledger)?;
    // In one write: others write too.
    file.write_all(format!("{token}\n").as_bytes())
}

async fn work(n: u64) {
    if n % 200 == 7 {
        // Blocks its runtime's thread for two leases, or three.
        let leases = if n % 400 == 7 { 2 } else { 3 };
        std::thread::sleep(LEASE * leases);
    } else if n % 8 == 1 {
        // Lives by renewals, is given back by a worker that stops, and runs when others who
        // had the job come with their late ends.
        tokio::time::sleep(LEASE.mul_f64(0.5 + (n % 5) as f64 / 4.0)).await;
    } else {
        tokio::time::sleep(Duration::from_millis(n % 30)).await;
    }
}

/// Not a test of its own: a worker in a process that can be killed. Writes down each
/// attempt before it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the other tests, in processes of their own"]
async fn works() {
    let url = std::env::var(URL).unwrap();
    let ledger = PathBuf::from(std::env::var(LEDGER).unwrap());
    let seed: u64 = std::env::var(WORKER_SEED).unwrap().parse().unwrap();
    let calm = ledger.with_file_name(CALM);
    let clock = MovedClock::until(calm, fastrand::Rng::with_seed(seed));
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
            work(n).await;
            let token = token(job.lease());
            write_down(&ledger, &token)?;
            if fails(n, job.attempt()) {
                return Err(HandlerError::Failed(Failure::new("error", "not yet")));
            }
            Ok(Payload::of(&token)?)
        }
    };
    // With many slots over Redis two exchanges are under way.
    let slots = if seed.is_multiple_of(2) { 16 } else { 128 };
    let worker = Worker::builder(jobs)
        .lane(QUEUE, slots)
        .handler(QUEUE, handler)
        .lease(LEASE)
        .grace(GRACE)
        .clock(clock)
        .build()
        .unwrap();
    worker.run_until_signalled().await.unwrap();
}

/// Not a test of its own: another program that has the file of jobs for a while.
#[test]
#[ignore = "run by the other tests, in processes of their own"]
fn holds_the_file() {
    let url = std::env::var(URL).unwrap();
    let calm = Path::new(&std::env::var(LEDGER).unwrap()).with_file_name(CALM);
    let hold_ms = std::env::var(HOLD_MS).unwrap().parse().unwrap();
    let file = rusqlite::Connection::open(url.strip_prefix("sqlite:").unwrap()).unwrap();
    // It goes on asking, as its turn comes only by luck.
    file.busy_timeout(Duration::ZERO).unwrap();
    while let Err(problem) = file.execute_batch("BEGIN IMMEDIATE") {
        let busy = problem.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
        assert!(busy, "{problem}");
        std::thread::sleep(Duration::from_millis(1));
        if calm.exists() {
            return;
        }
    }
    std::thread::sleep(Duration::from_millis(hold_ms));
    file.execute_batch("COMMIT").unwrap();
}
