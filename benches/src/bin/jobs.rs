//! Jobs a second: taken in at once, one by one from 64 tasks, and run by a worker of
//! 100 slots whose handlers do nothing. Usage: `jobs URL [JOBS]`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation::job::{Payload, SharedJobs};
use credential_rotation_benches::print;
use credential_rotation_benches::queue::{BATCH, Failure, QUEUE, SLOTS, job};
use credential_rotation_benches::server::Server;
use futures_util::future::join_all;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let url = words.next().ok_or("usage: jobs URL [JOBS]")?;
    let count: usize = words.next().map_or(Ok(200_000), |word| word.parse())?;
    let name = url.split(':').next().unwrap_or_default().to_owned();
    let jobs = connect::jobs(&url).await?;

    let mut server = Server::of(&url).await?;
    let busy = busy(&mut server).await?;
    let began = Instant::now();
    for _ in 0..count / BATCH {
        jobs.enqueue((0..BATCH).map(|_| job()).collect()).await?;
    }
    told(&name, "bulk add", count, began);
    tell_share(&mut server, "bulk add", busy, began).await?;

    let busy = self::busy(&mut server).await?;
    let began = Instant::now();
    drain(&jobs, count).await?;
    told(&name, "drain", count, began);
    tell_share(&mut server, "drain", busy, began).await?;

    let began = Instant::now();
    let each = count / 4 / 64;
    let tasks = (0..64).map(|_| {
        let jobs = Arc::clone(&jobs);
        tokio::spawn(async move {
            for _ in 0..each {
                jobs.enqueue_one(job()).await?;
            }
            Ok::<_, credential_rotation::job::JobError>(())
        })
    });
    for task in join_all(tasks).await {
        task??;
    }
    told(&name, "add one by one", each * 64, began);
    drain(&jobs, each * 64).await?;
    Ok(())
}

/// Runs so many jobs with a worker of 100 slots whose handler does nothing.
async fn drain(jobs: &SharedJobs, count: usize) -> Result<(), Failure> {
    let left = Arc::new(AtomicUsize::new(count));
    let (done, ended) = tokio::sync::watch::channel(false);
    let handler = move |_: Context| {
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            done.send_replace(true);
        }
        async { Ok(Payload::NULL) }
    };
    let worker = Worker::builder(Arc::clone(jobs))
        .lane(QUEUE, SLOTS)
        .handler(QUEUE, handler)
        .build()?;
    let mut ended = ended;
    let report = worker
        .run(async move { drop(ended.wait_for(|done| *done).await) })
        .await?;
    if report.completed == count as u64 {
        Ok(())
    } else {
        Err(format!("{report:?} of {count}").into())
    }
}

fn told(name: &str, what: &str, count: usize, began: Instant) {
    let rate = count as f64 / began.elapsed().as_secs_f64();
    print(&format!("jobs {name} {what}"), rate, "jobs/s", json!({}));
}

async fn busy(server: &mut Option<Server>) -> Result<Duration, Failure> {
    match server {
        Some(server) => server.busy().await,
        None => Ok(Duration::ZERO),
    }
}

/// Says how much of a core the server had since then: near 100, it is what bounds the rate.
async fn tell_share(
    server: &mut Option<Server>,
    what: &str,
    before: Duration,
    began: Instant,
) -> Result<(), Failure> {
    if server.is_some() {
        let span = began.elapsed();
        let had = busy(server).await?.saturating_sub(before);
        let share = 100.0 * had.as_secs_f64() / span.as_secs_f64();
        print(&format!("redis busy in {what}"), share, "%", json!({}));
    }
    Ok(())
}
