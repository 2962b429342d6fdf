//! What both peers share: the payload, the sizes, taking in, and running until all is done.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What goes wrong ends the program.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many a worker asks for with one trip, which is also how many it runs at once.
pub const SLOTS: usize = 100;
/// How many wait at most; then comes the next portion, with a worker of another name. Of
/// apalis-redis, one script makes ready all that wait, and Redis refuses its `unpack` from
/// about 8,000 on.
pub const PORTION: usize = 5_000;
const BATCH: usize = 1_000;

/// Two hundred bytes of JSON, as all others get them.
#[must_use]
pub fn payload() -> String {
    "x".repeat(198)
}

/// As many payloads as there shall be jobs, in batches.
pub fn batches(jobs: usize) -> impl Iterator<Item = Vec<String>> {
    (0..jobs / BATCH).map(|_| vec![payload(); BATCH])
}

/// What the command line says.
#[derive(Debug)]
pub struct Words {
    /// Where to keep the jobs.
    pub url: String,
    /// How many.
    pub jobs: usize,
    /// Whether a worker takes a lock on each job, as it does unless told otherwise. Ours
    /// has a lease on each: without locks the peer does less.
    pub locks: bool,
}

impl Words {
    /// Reads them.
    ///
    /// # Errors
    /// If there is no URL, or no number where one should be.
    pub fn read() -> Result<Self, Failure> {
        let mut words = std::env::args().skip(1);
        Ok(Self {
            url: words.next().ok_or("usage: PEER URL [JOBS [unlocked]]")?,
            jobs: words.next().map_or(Ok(50_000), |word| word.parse())?,
            locks: words.next().is_none_or(|word| word != "unlocked"),
        })
    }

    /// The name of a row.
    #[must_use]
    pub fn name(&self, peer: &str, what: &str) -> String {
        let how = if self.locks { "" } else { " unlocked" };
        format!("jobs {peer}{how} {what}")
    }
}

/// Counts jobs down; the clock stops when the last one is in its handler's hands. What a
/// peer still has to record then is not held against it.
#[derive(Clone, Debug)]
pub struct Countdown {
    left: Arc<AtomicUsize>,
    ended: Arc<Mutex<Option<Instant>>>,
}

impl Countdown {
    /// So many to go.
    #[must_use]
    pub fn of(jobs: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(jobs)),
            ended: Arc::default(),
        }
    }

    /// One is done; whether it was the last.
    #[must_use]
    pub fn one(&self) -> bool {
        let last = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && let Ok(mut ended) = self.ended.lock() {
            *ended = Some(Instant::now());
        }
        last
    }

    /// When the last one was done.
    ///
    /// # Errors
    /// If some are left.
    pub fn ended(&self) -> Result<Instant, Failure> {
        let ended = self.ended.lock().map_err(|_| "a handler panicked")?;
        let left = self.left.load(Ordering::Relaxed);
        ended.ok_or_else(|| format!("{left} jobs were not run").into())
    }
}

/// Prints a rate.
pub fn told(name: &str, jobs: usize, took: Duration) {
    let rate = jobs as f64 / took.as_secs_f64();
    println!("{{\"name\":\"{name}\",\"value\":{rate},\"unit\":\"jobs/s\"}}");
}

/// Any error as ours.
pub fn failed(error: impl Debug) -> Failure {
    format!("{error:?}").into()
}
