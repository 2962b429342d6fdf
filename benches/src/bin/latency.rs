//! How long from taking a job in until its handler starts: 50 jobs a second, taken in by one
//! runtime and run by a worker of another, as by two services. Usage: `latency URL [JOBS]`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation::job::{JobId, Payload};
use credential_rotation_benches::queue::{Failure, QUEUE, SLOTS, job};
use credential_rotation_benches::server::Server;
use credential_rotation_benches::{percentile, print};
use serde_json::json;

const PACE: Duration = Duration::from_millis(20);
/// Before anything counts: connections are made, scripts loaded.
const WARM_UP: usize = 50;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let url = words.next().ok_or("usage: latency URL [JOBS]")?;
    let count: usize = words.next().map_or(Ok(1_000), |word| word.parse())?;
    let runs = connect::jobs(&url).await?;

    let starts: Arc<Mutex<Vec<(JobId, Instant)>>> = Arc::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let noted = Arc::clone(&starts);
    let worker = Worker::builder(runs)
        .lane(QUEUE, SLOTS)
        .handler(QUEUE, move |job: Context| {
            let now = Instant::now();
            if let Ok(mut starts) = noted.lock() {
                starts.push((job.id().clone(), now));
            }
            async { Ok(Payload::NULL) }
        })
        .build()?;
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));

    let address = url.clone();
    let taken = tokio::task::spawn_blocking(move || take_in(&address, count)).await??;
    // All that were taken in are run before it stops, or it takes no more: so wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(stop);
    running.await??;

    let starts = std::mem::take(&mut *starts.lock().map_err(|_| "a handler panicked")?);
    let mut spans: Vec<Duration> = starts
        .iter()
        .filter_map(|(id, started)| Some(started.duration_since(*taken.get(id)?)))
        .collect();
    if spans.len() != count {
        return Err(format!("{} of {count} jobs were started", spans.len()).into());
    }
    spans.sort_unstable();
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let span = percentile(&spans, share).as_secs_f64() * 1_000.0;
        print(&format!("jobs start {name}"), span, "ms", json!({}));
    }
    // What the machine and a bare list need for the same way.
    if let Some(server) = Server::of(&url).await? {
        let spans = server.handovers(count, PACE).await?;
        let span = percentile(&spans, 0.5).as_secs_f64() * 1_000.0;
        print("bare list p50", span, "ms", json!({}));
    }
    Ok(())
}

/// Takes jobs in, in a thread and a runtime of its own. Tells when each was.
fn take_in(url: &str, count: usize) -> Result<HashMap<JobId, Instant>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let jobs = connect::jobs(url).await?;
        let mut taken = HashMap::with_capacity(count);
        let mut ticks = tokio::time::interval(PACE);
        for nth in 0..WARM_UP + count {
            ticks.tick().await;
            let began = Instant::now();
            let there = jobs.enqueue_one(job()).await?;
            if nth >= WARM_UP {
                taken.insert(there.id()?, began);
            }
        }
        Ok(taken)
    })
}
