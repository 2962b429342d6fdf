//! How long from taking a job in until its handler starts: 50 jobs a second, taken in
//! through one connection, run by a worker on another. Usage: `latency URL [JOBS]`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation::job::{JobError, JobId, Payload};
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
    let [takes_in, runs] = [connect::jobs(&url).await?, connect::jobs(&url).await?];

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

    // In a task, as services take jobs in: the main thread would be woken anew each time.
    let taking_in = tokio::spawn(async move {
        let mut taken = HashMap::with_capacity(count);
        let mut ticks = tokio::time::interval(PACE);
        for nth in 0..WARM_UP + count {
            ticks.tick().await;
            let began = Instant::now();
            let there = takes_in.enqueue_one(job()).await?;
            if nth >= WARM_UP {
                taken.insert(there.id()?, began);
            }
        }
        Ok::<_, JobError>(taken)
    });
    let taken = taking_in.await??;
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
