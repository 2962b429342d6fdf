//! What is counted of jobs, for Prometheus and its like.
//!
//! The workers of this process count what they do; how much there is to do is asked of
//! the manager when it is rendered. The names are in `docs/jobs.md`.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::worker::WorkerReport;
use super::{JobError, JobManager, QueueCounts};

/// Counts what the workers of a process do with one queue.
#[derive(Debug, Clone)]
pub(super) struct QueueMetrics {
    queue: OfQueue,
    claimed: Counter,
    wait: Histogram,
    run: Histogram,
}

/// Counts, as long as it is there, an attempt that holds its slot though it is over.
#[derive(Debug)]
pub(super) struct Stuck(Gauge);

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQueue {
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    queue: String,
    outcome: &'static str,
}

/// A gauge's name, its help and what it shows of a queue.
type Named = (&'static str, &'static str, fn(&QueueCounts) -> u64);

struct Workers {
    registry: Registry,
    claimed: Family<OfQueue, Counter>,
    ended: Family<OfEnd, Counter>,
    wait: Family<OfQueue, Histogram>,
    run: Family<OfQueue, Histogram>,
    stuck: Family<OfQueue, Gauge>,
    stalled: Family<OfQueue, Counter>,
    trips: Counter,
}

static WORKERS: LazyLock<Workers> = LazyLock::new(|| {
    // From a millisecond to over a day.
    let spans = || Histogram::new(exponential_buckets(0.001, 4.0, 14));
    let mut registry = Registry::with_prefix("jobs");
    let workers = Workers {
        claimed: Family::default(),
        ended: Family::default(),
        wait: Family::new_with_constructor(spans),
        run: Family::new_with_constructor(spans),
        stuck: Family::default(),
        stalled: Family::default(),
        trips: Counter::default(),
        registry: Registry::default(),
    };
    registry.register(
        "claimed",
        "Jobs that workers of this process took",
        workers.claimed.clone(),
    );
    registry.register(
        "ended",
        "Attempts by what came of them",
        workers.ended.clone(),
    );
    registry.register_with_unit(
        "wait",
        "From when a job could begin until it did",
        Unit::Seconds,
        workers.wait.clone(),
    );
    registry.register_with_unit(
        "run",
        "From the begin of an attempt to its end",
        Unit::Seconds,
        workers.run.clone(),
    );
    registry.register(
        "stuck",
        "Attempts that are over while their handler goes on in their slot",
        workers.stuck.clone(),
    );
    registry.register(
        "stalled",
        "Leases that ran out, as this process found",
        workers.stalled.clone(),
    );
    registry.register(
        "redis_commands",
        "Commands sent to Redis by this process",
        workers.trips.clone(),
    );
    Workers {
        registry,
        ..workers
    }
});

/// The text form of what the workers of this process counted, and of how much there is
/// to do.
///
/// # Errors
/// When the backend cannot be used.
pub async fn render(jobs: &dyn JobManager) -> Result<String, JobError> {
    let mut queues = Registry::with_prefix("jobs");
    let named: [Named; 6] = [
        ("waiting", "Jobs that wait for a worker", |counts| {
            counts.waiting
        }),
        ("delayed", "Jobs whose time is to come", |counts| {
            counts.delayed
        }),
        ("running", "Jobs that workers have", |counts| counts.running),
        ("failed", "Jobs that were given up and are kept", |counts| {
            counts.failed
        }),
        ("payload_bytes", "Payloads of unfinished jobs", |counts| {
            counts.bytes
        }),
        ("paused", "1 while claims are stopped", |counts| {
            u64::from(counts.paused)
        }),
    ];
    let counted = jobs.counts().await?;
    for (name, help, of) in named {
        let gauges = Family::<OfQueue, Gauge>::default();
        for counts in &counted {
            gauge(&gauges, counts, of(counts));
        }
        queues.register(name, help, gauges);
    }
    let oldest = Family::<OfQueue, Gauge>::default();
    for counts in &counted {
        gauge(&oldest, counts, counts.oldest_ms.unwrap_or(0) / 1000);
    }
    queues.register_with_unit(
        "oldest",
        "How long the next job has waited",
        Unit::Seconds,
        oldest,
    );
    let mut text = String::new();
    let mut own = String::new();
    let written = encode(&mut text, &queues).and_then(|()| encode(&mut own, &WORKERS.registry));
    written.map_err(|_| JobError::invalid("metrics", "they cannot be written"))?;
    // One exposition has one end.
    Ok(text.replace("# EOF\n", "") + &own)
}

fn gauge(gauges: &Family<OfQueue, Gauge>, counts: &QueueCounts, value: u64) {
    let queue = counts.queue.clone();
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    gauges.get_or_create(&OfQueue { queue }).set(value);
}

/// A command was sent to Redis.
pub(super) fn sent_to_redis() {
    WORKERS.trips.inc();
}

/// Leases of that queue have run out.
pub(super) fn stalled(queue: &str, count: u64) {
    if count > 0 {
        let queue = queue.to_owned();
        let counter = WORKERS.stalled.get_or_create_owned(&OfQueue { queue });
        counter.inc_by(count);
    }
}

impl QueueMetrics {
    pub(super) fn of(queue: &str) -> Self {
        let queue = OfQueue {
            queue: queue.to_owned(),
        };
        Self {
            claimed: WORKERS.claimed.get_or_create_owned(&queue),
            wait: WORKERS.wait.get_or_create_owned(&queue),
            run: WORKERS.run.get_or_create_owned(&queue),
            queue,
        }
    }

    /// A job begins, so long after it could.
    pub(super) fn claimed(&self, waited_ms: u64) {
        self.claimed.inc();
        self.wait.observe(waited_ms as f64 / 1000.0);
    }

    /// An attempt has ended.
    pub(super) fn ended(&self, ran: Duration) {
        self.run.observe(ran.as_secs_f64());
    }

    /// An attempt that is over holds its slot.
    pub(super) fn stuck(&self) -> Stuck {
        let stuck = WORKERS.stuck.get_or_create_owned(&self.queue);
        stuck.inc();
        Stuck(stuck)
    }

    /// These ends were recorded, or refused.
    pub(super) fn recorded(&self, ends: &WorkerReport) {
        for (outcome, count) in ends.by_name() {
            if count > 0 {
                let queue = self.queue.queue.clone();
                WORKERS
                    .ended
                    .get_or_create(&OfEnd { queue, outcome })
                    .inc_by(count);
            }
        }
    }
}
