//! What is SQLite's own: files, processes and losses. The rest is the conformance suite's.

mod files;
mod numbers;
mod passing;
mod processes;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tempfile::TempDir;

use super::SqliteJobs;
use crate::job::{
    Claim, Claimed, Enqueued, Exchange, Failure, JobFilter, JobId, JobManager, JobSpec, JobState,
    Outcome, Payload, Settlement, What,
};

const LEASE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(20);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    (folder, path)
}

fn spec(id: &str) -> JobSpec {
    let payload = Payload::from_json(format!(
        "{{\"big\": 12345678901234567890, \"of\":\"{id}\"}}"
    ));
    JobSpec::new("q", payload.unwrap()).with_id(JobId::from_text(id).unwrap())
}

fn id(text: &str) -> JobId {
    JobId::from_text(text).unwrap()
}

fn ask(max: usize) -> Claim {
    Claim {
        worker: "w".into(),
        max,
        lease: LEASE,
    }
}

fn done(claimed: &Claimed) -> Settlement {
    Settlement {
        lease: claimed.lease.clone(),
        outcome: Outcome::Complete {
            result: Payload::from_json("1").unwrap(),
        },
    }
}

async fn claimed_ids(jobs: &SqliteJobs, max: usize) -> Vec<String> {
    let claimed = jobs.claim("q", ask(max)).await.unwrap();
    claimed.iter().map(|one| one.lease.id.to_string()).collect()
}

#[tokio::test]
async fn jobs_outlive_the_manager_byte_for_byte() {
    let (_folder, path) = place();
    let large = format!("\"{}\"", "x".repeat(100_000));
    let full = spec("full").with(|spec| {
        spec.kind = Some("k".into());
        spec.group = Some("g".into());
        spec.session = Some("s".into());
        spec.tags = vec!["t".into()];
        spec.priority = 7;
        spec.max_attempts = 9;
        spec.unique_key = Some("u".into());
    });
    let wide = spec("wide").with(|spec| spec.payload = Payload::from_json(large.clone()).unwrap());
    {
        let jobs = SqliteJobs::open(&path).unwrap();
        jobs.enqueue(vec![full.clone(), wide]).await.unwrap();
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let jobs = SqliteJobs::open(&path).unwrap();
    let found = jobs.find(&id("full")).await.unwrap();
    let expected = JobSpec { id: None, ..full };
    assert_eq!(*found.spec, expected);
    let claimed = jobs.claim("q", ask(9)).await.unwrap();
    assert_eq!(*claimed[0].spec, expected);
    assert_eq!(claimed[1].spec.payload.as_bytes(), large.as_bytes());
    let again = jobs.enqueue_one(spec("full")).await.unwrap();
    assert_eq!(again, Enqueued::Duplicate(id("full")));
}

#[tokio::test]
async fn two_managers_over_one_file_share_its_jobs() {
    let (_folder, path) = place();
    let one = SqliteJobs::open(&path).unwrap();
    let other = SqliteJobs::open(&path).unwrap();
    for n in 0..10 {
        one.enqueue_one(spec(&format!("j{n}"))).await.unwrap();
    }
    let mut all = claimed_ids(&one, 4).await;
    all.extend(claimed_ids(&other, 4).await);
    all.extend(claimed_ids(&one, 4).await);
    let expected: Vec<String> = (0..10).map(|n| format!("j{n}")).collect();
    assert_eq!(all, expected);
    assert_eq!(other.counts().await.unwrap()[0].running, 10);
}

#[tokio::test]
async fn a_job_of_another_manager_wakes_one_who_waits() {
    let (_folder, path) = place();
    let one = SqliteJobs::open(&path).unwrap();
    let other = SqliteJobs::open(&path).unwrap();
    assert!(claimed_ids(&one, 1).await.is_empty());
    // Before the wait begins, but behind the claim.
    other.enqueue_one(spec("a")).await.unwrap();
    let began = Instant::now();
    one.wait_for_work("q", LONG).await.unwrap();
    assert_eq!(claimed_ids(&one, 1).await, ["a"]);
    let waiting = one.clone();
    let waiter = tokio::spawn(async move { waiting.wait_for_work("q", LONG).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiter.is_finished());
    other.enqueue_one(spec("b")).await.unwrap();
    waiter.await.unwrap().unwrap();
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn events_come_from_other_managers_in_their_order() {
    let (_folder, path) = place();
    let one = SqliteJobs::open(&path).unwrap();
    let other = SqliteJobs::open(&path).unwrap();
    other.enqueue_one(spec("early")).await.unwrap();
    let mut events = one.events().await.unwrap();
    let claimed = other.claim("q", ask(1)).await.unwrap();
    other.settle(done(&claimed[0])).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..3 {
        let next = tokio::time::timeout(LONG, events.next());
        heard.push(next.await.unwrap().unwrap().what);
    }
    assert_eq!(heard, [What::Running, What::Completed, What::Drained]);
    one.close().await;
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_was_not_written_for_a_follower_that_was_late_is_a_gap() {
    let (_folder, path) = place();
    let one = SqliteJobs::open(&path).unwrap();
    let other = SqliteJobs::open(&path).unwrap();
    let mut events = one.events().await.unwrap();
    let token = one.engine().unwrap().token.clone();
    let told = async |id| {
        other.enqueue_one(spec(id)).await.unwrap();
    };
    let renewed = async || {
        let token = token.clone();
        one.write(move |session| super::follow::renew(session, &token))
            .await
            .unwrap();
    };
    let mut next = async || {
        let next = tokio::time::timeout(LONG, events.next());
        next.await.unwrap().unwrap()
    };
    // In time it is none.
    renewed().await;
    told("a").await;
    assert_eq!(next().await.id, Some(spec("a").id.unwrap()));
    // Late, nothing was written for it.
    let expire = |session: &mut super::session::Session<'_>| {
        session.db.execute("UPDATE follower SET until = 0", [])
    };
    one.write(expire).await.unwrap();
    told("missed").await;
    renewed().await;
    told("b").await;
    assert_eq!(next().await.what, What::Gap);
    assert_eq!(next().await.id, Some(spec("b").id.unwrap()));
}

#[tokio::test]
async fn one_waits_for_an_end_that_another_manager_brings() {
    let (_folder, path) = place();
    let one = SqliteJobs::open(&path).unwrap();
    let other = SqliteJobs::open(&path).unwrap();
    one.enqueue_one(spec("a")).await.unwrap();
    let waiting = one.clone();
    let waiter = tokio::spawn(async move { waiting.wait(&id("a"), LONG).await });
    let claimed = other.claim("q", ask(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    other.settle(done(&claimed[0])).await.unwrap();
    let job = waiter.await.unwrap().unwrap();
    assert_eq!(job.status.state, JobState::Completed);
}

#[tokio::test]
async fn many_callers_of_two_managers_run_each_job_once() {
    let (_folder, path) = place();
    let managers = [
        SqliteJobs::open(&path).unwrap(),
        SqliteJobs::open(&path).unwrap(),
    ];
    let enqueued = (0..40).map(|n| {
        let jobs = managers[n % 2].clone();
        tokio::spawn(async move {
            let batch = (0..10).map(|m| spec(&format!("{n}-{m}"))).collect();
            jobs.enqueue(batch).await.unwrap();
        })
    });
    for one in enqueued.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let workers = (0..8).map(|n| {
        let jobs = managers[n % 2].clone();
        tokio::spawn(async move {
            let (mut settle, mut count) = (Vec::new(), 0);
            loop {
                let exchange = Exchange {
                    queue: "q".into(),
                    settle: std::mem::take(&mut settle),
                    claim: ask(7),
                };
                let exchanged = jobs.exchange(exchange).await.unwrap();
                assert!(exchanged.settled.iter().all(Result::is_ok));
                if exchanged.claimed.is_empty() {
                    return count;
                }
                count += exchanged.claimed.len();
                settle.extend(exchanged.claimed.iter().map(done));
            }
        })
    });
    let mut ran = 0;
    for worker in workers.collect::<Vec<_>>() {
        ran += worker.await.unwrap();
    }
    assert_eq!(ran, 400);
    let counts = managers[0].counts().await.unwrap().remove(0);
    assert_eq!((counts.completed, counts.bytes), (400, 0));
}

#[tokio::test]
async fn pages_and_filters_list_what_fits() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let tagged = |n: u32| {
        spec(&format!("j{n}")).with(|spec| {
            spec.tags = vec![if n.is_multiple_of(2) { "even" } else { "odd" }.into()];
            spec.session = (n == 3).then(|| "three".into());
        })
    };
    jobs.enqueue((0..10).map(tagged).collect()).await.unwrap();
    let claimed = jobs.claim("q", ask(2)).await.unwrap();
    let fail = Settlement {
        lease: claimed[0].lease.clone(),
        outcome: Outcome::Fail {
            error: Failure::new("error", "no"),
        },
    };
    jobs.settle(fail).await.unwrap();
    let table: [(&str, JobFilter, &[&str]); 7] = [
        (
            "failed",
            JobFilter {
                state: Some(JobState::Failed),
                ..JobFilter::default()
            },
            &["j0"],
        ),
        (
            "running",
            JobFilter {
                state: Some(JobState::Running),
                queue: Some("q".into()),
                ..JobFilter::default()
            },
            &["j1"],
        ),
        (
            "odd",
            JobFilter {
                tag: Some("odd".into()),
                limit: Some(2),
                ..JobFilter::default()
            },
            &["j1", "j3", "j5", "j7", "j9"],
        ),
        (
            "session",
            JobFilter {
                session: Some("three".into()),
                ..JobFilter::default()
            },
            &["j3"],
        ),
        (
            "kind",
            JobFilter {
                kind: Some("q".into()),
                state: Some(JobState::Waiting),
                limit: Some(5),
                ..JobFilter::default()
            },
            &["j2", "j3", "j4", "j5", "j6", "j7", "j8", "j9"],
        ),
        (
            "group",
            JobFilter {
                group: Some("none".into()),
                ..JobFilter::default()
            },
            &[],
        ),
        (
            "queue",
            JobFilter {
                queue: Some("none".into()),
                ..JobFilter::default()
            },
            &[],
        ),
    ];
    for (name, mut filter, expected) in table {
        let mut listed = Vec::new();
        loop {
            let page = jobs.list(&filter).await.unwrap();
            listed.extend(page.jobs.into_iter().map(|job| job.id.to_string()));
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        assert_eq!(listed, expected, "{name}");
    }
}
