//! Schedules, while the worker that fires them dies.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::{JobFilter, JobSpec, Payload, Schedule, SharedJobs};

use crate::scene::{PATIENCE, rotation, started};
use crate::servers;

/// A worker of another queue than the schedule's: what it fires is left to be counted.
fn worker(home: &Path, url: &str) -> Command {
    let words = [
        "worker",
        "--queues",
        "other",
        "--command",
        "cat",
        "--url",
        url,
    ];
    // The same name, as on two devices.
    rotation(home, &[&words[..], &["--id", "worker-1"]].concat())
}

/// The seconds that were fired so far.
async fn ticks(jobs: &SharedJobs) -> Vec<u64> {
    let filter = JobFilter {
        queue: Some("ticks".to_owned()),
        limit: Some(1_000),
        ..JobFilter::default()
    };
    let listed = jobs.list(&filter).await.unwrap().jobs;
    let tick = |id: &str| id.rsplit(':').next().unwrap().parse::<u64>().unwrap() / 1_000;
    let mut ticks: Vec<u64> = listed.iter().map(|job| tick(job.id.as_str())).collect();
    ticks.sort_unstable();
    ticks
}

async fn more_than(jobs: &SharedJobs, count: usize) -> Vec<u64> {
    let more = async {
        loop {
            let ticks = ticks(jobs).await;
            if ticks.len() > count {
                return ticks;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("ticks")
}

fn kill(mut child: Child) {
    // SIGKILL: it says no goodbye.
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn another_takes_over(url: &str) {
    let home = tempfile::tempdir().unwrap();
    let jobs = connect::jobs(url).await.unwrap();
    let job = JobSpec::new("ticks", Payload::NULL);
    let schedule = Schedule::new("each-second", "* * * * * *", job);
    jobs.put_schedule(schedule).await.unwrap();
    let leader = started(worker(home.path(), url));
    more_than(&jobs, 1).await;
    let other = started(worker(home.path(), url));
    // Both are there, and one fires.
    let before = more_than(&jobs, 4).await;
    let there = jobs.workers().await.unwrap();
    assert_eq!(there.len(), 2, "{there:?}");
    kill(leader);
    let fired = ticks(&jobs).await.len();
    // Those that nobody was there for are one; then they come each second again.
    let ticks = more_than(&jobs, fired + 4).await;
    let unique: BTreeSet<u64> = ticks.iter().copied().collect();
    assert_eq!(unique.len(), ticks.len(), "{ticks:?}");
    let gaps = ticks.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    let gaps: Vec<&[u64]> = gaps.collect();
    assert!(gaps.len() <= 2, "{ticks:?}");
    assert_eq!(before, ticks[..before.len()], "{ticks:?}");
    kill(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_is_fired_once_though_its_worker_dies() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("jobs.db").display());
    if servers::redis_is_there() {
        let redis = servers::Redis::start(&[]);
        let url = redis.url();
        tokio::join!(another_takes_over(&file), another_takes_over(&url));
    } else {
        another_takes_over(&file).await;
    }
}
