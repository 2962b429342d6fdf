//! Takes jobs in, or runs so many of those that wait and leaves the rest.
//! Usage: `backlog URL add|drain JOBS [BEHIND]`, the last one for the name of the row.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation::job::{Payload, SharedJobs};
use credential_rotation_benches::print;
use credential_rotation_benches::queue::{BATCH, Failure, QUEUE, SLOTS, job};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, verb, count, ..] = words.as_slice() else {
        return Err("usage: backlog URL add|drain JOBS [BEHIND]".into());
    };
    let count: usize = count.parse()?;
    let jobs = connect::jobs(url).await?;
    if verb == "add" {
        for _ in 0..count / BATCH {
            jobs.enqueue((0..BATCH).map(|_| job()).collect()).await?;
        }
        return Ok(());
    }
    let rate = drain(jobs, count).await?;
    let behind = words.get(3).map_or("?", String::as_str);
    print(&format!("jobs {behind} behind"), rate, "jobs/s", json!({}));
    Ok(())
}

/// Jobs a second, until that many have started.
async fn drain(jobs: SharedJobs, count: usize) -> Result<f64, Failure> {
    let started = Arc::new(AtomicUsize::new(0));
    let (done, mut ended) = tokio::sync::watch::channel(None);
    let handler = move |_: Context| {
        if started.fetch_add(1, Ordering::Relaxed) + 1 == count {
            done.send_replace(Some(Instant::now()));
        }
        async { Ok(Payload::NULL) }
    };
    let worker = Worker::builder(jobs)
        .lane(QUEUE, SLOTS)
        .handler(QUEUE, handler)
        .build()?;
    let mut stop = ended.clone();
    let began = Instant::now();
    worker
        .run(async move { drop(stop.wait_for(Option::is_some).await) })
        .await?;
    let ended = *ended.borrow_and_update();
    let ended = ended.ok_or("the jobs that wait are too few")?;
    Ok(count as f64 / (ended - began).as_secs_f64())
}
