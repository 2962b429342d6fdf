//! What is SQLite's own: files, processes and losses. The rest is the conformance suite's.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tempfile::TempDir;

use super::{Durability, SqliteJobs, schema};
use crate::clock::Clock;
use crate::job::{
    Claim, Claimed, Enqueued, Exchange, Failure, JobError, JobFilter, JobId, JobManager, JobSpec,
    JobState, Outcome, Payload, QueueLimits, Settlement, What,
};
use crate::testing::ManualClock;

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
async fn groups_take_turns_and_one_at_its_limit_holds_up_nobody() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let limits = QueueLimits {
        group_concurrency: Some(1),
        ..QueueLimits::default()
    };
    jobs.set_limits("q", limits).await.unwrap();
    let of = |name: &str, group: &str| spec(name).with(|spec| spec.group = Some(group.into()));
    let batch = ["a1", "a2", "a3", "b1", "c1"];
    let batch = batch.map(|name| of(name, &name[..1])).to_vec();
    jobs.enqueue(batch).await.unwrap();
    let first = jobs.claim("q", ask(9)).await.unwrap();
    let ids: Vec<&str> = first.iter().map(|one| one.lease.id.as_str()).collect();
    assert_eq!(ids, ["a1", "b1", "c1"]);
    jobs.settle(done(&first[0])).await.unwrap();
    // The one that was called back goes away: the next has to take its place.
    assert_eq!(
        jobs.cancel(&[id("a2")]).await.unwrap(),
        [Some(JobState::Cancelled)]
    );
    assert_eq!(claimed_ids(&jobs, 9).await, ["a3"]);
}

#[tokio::test]
async fn a_lease_that_runs_out_gives_the_job_to_another_and_refuses_the_first() {
    let (_folder, path) = place();
    let clock = ManualClock::new(1_000_000);
    let jobs = SqliteJobs::open_with(&path, Arc::new(clock.clone()), Durability::Normal).unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
    let first = jobs.claim("q", ask(1)).await.unwrap();
    clock.advance(LEASE + Duration::from_millis(1));
    let second = jobs.claim("q", ask(1)).await.unwrap();
    assert_eq!(second[0].stalls, 1);
    let stale = jobs.settle(done(&first[0])).await.unwrap_err();
    assert_eq!(stale.code(), "stale_attempt");
    let failed = Settlement {
        lease: second[0].lease.clone(),
        outcome: Outcome::Retry {
            error: Failure::new("error", "no"),
            after: Duration::from_secs(5),
        },
    };
    assert_eq!(jobs.settle(failed).await.unwrap(), JobState::Delayed);
    assert!(claimed_ids(&jobs, 1).await.is_empty());
    clock.advance(Duration::from_secs(5));
    assert_eq!(claimed_ids(&jobs, 1).await, ["a"]);
    clock.set(clock.now() + 3_600_000 * 24);
    assert_eq!(jobs.sweep().await.unwrap(), 1);
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

#[test]
fn claims_and_ends_find_their_rows_by_an_index() {
    let (_folder, path) = place();
    let db = schema::open(&path, Durability::Normal).unwrap();
    let table = [
        (
            "WHERE queue = 1 AND state = 0 AND parked = 0 ORDER BY rank, tag, number LIMIT 9",
            "job_ready",
        ),
        (
            "WHERE queue = 1 AND state = 1 AND run_at <= 5 ORDER BY run_at, number LIMIT 9",
            "job_due",
        ),
        (
            "WHERE queue = 1 AND state = 2 AND until < 5 ORDER BY until, number LIMIT 9",
            "job_lease",
        ),
        (
            "WHERE queue = 1 AND state = 4 AND until <= 5 ORDER BY until LIMIT 9",
            "job_failed",
        ),
        (
            "WHERE queue = 1 AND state IN (3, 5) AND until <= 5 ORDER BY until LIMIT 9",
            "job_finished",
        ),
        (
            "WHERE queue = 1 AND state IN (3, 5) ORDER BY until LIMIT 9",
            "job_finished",
        ),
        (
            "WHERE queue = 1 AND team = 'g' AND state = 0 AND parked = 1 ORDER BY rank, tag, number LIMIT 1",
            "job_parked",
        ),
        ("WHERE job.id = 'a' AND job.queue = 1", "job_by_id"),
        (
            "WHERE id = 'a' AND queue = 1 AND state = 2 AND epoch = 3",
            "job_by_id",
        ),
    ];
    for (which, index) in table {
        let mut query = db
            .prepare(&format!("EXPLAIN QUERY PLAN SELECT * FROM job {which}"))
            .unwrap();
        let plan: Vec<String> = query
            .query_map([], |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let found =
            plan.len() == 1 && plan[0].starts_with(&format!("SEARCH job USING INDEX {index} "));
        assert!(found, "{which}: {plan:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let (_folder, path) = place();
    let text = "this is not a database, it only looks like a file. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert_eq!(error.code(), "backend_unsuitable");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_file_that_breaks_while_it_is_used_is_named() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
    drop(jobs);
    let again = SqliteJobs::open(&path).unwrap();
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(name));
    }
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..length].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    let error = again.enqueue_one(spec("b")).await.unwrap_err();
    assert_eq!(error.code(), "backend_unsuitable");
}

#[test]
fn folders_and_files_that_cannot_be_used_say_what_to_do() {
    let (folder, path) = place();
    std::fs::write(&path, "").unwrap();
    let table = [
        (folder.path().join("none/jobs.db"), "make the folder first"),
        (path.join("jobs.db"), "make the folder first"),
        (folder.path().to_owned(), "give the path of a file in it"),
    ];
    for (path, remedy) in table {
        let error = SqliteJobs::open(&path).unwrap_err();
        assert_eq!(error.code(), "backend_unavailable", "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_says_so() {
    let (folder, _) = place();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write everywhere but to what the kernel alone makes.
    let root = std::fs::write(locked.join("probe"), "").is_ok();
    let path = if root {
        PathBuf::from("/proc/jobs.db")
    } else {
        locked.join("jobs.db")
    };
    let error = SqliteJobs::open(path).unwrap_err();
    assert_eq!(error.code(), "backend_unavailable", "{error}");
}

#[test]
fn later_layouts_and_other_programs_databases_are_refused() {
    let (_folder, path) = place();
    let db = schema::open(&path, Durability::Full).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert!(error.to_string().contains("layout is 99"), "{error}");
    assert_eq!(error.code(), "backend_unsuitable");
    let (_folder, path) = place();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[test]
fn many_open_a_new_file_at_once() {
    for _ in 0..10 {
        let (_folder, path) = place();
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SqliteJobs::open(&path)))
                .collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn urgent_works_go_before_those_that_wait() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let apart = jobs.apart().await.unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
    let claimed = jobs.claim("q", ask(1)).await.unwrap();
    let writes = (0..500).map(|n| {
        let jobs = jobs.clone();
        tokio::spawn(async move {
            let batch = (0..10).map(|m| spec(&format!("{n}-{m}"))).collect();
            jobs.enqueue(batch).await.unwrap();
        })
    });
    let writes: Vec<_> = writes.collect();
    tokio::task::yield_now().await;
    apart
        .renew(&[claimed[0].lease.clone()], LEASE)
        .await
        .unwrap();
    assert!(!writes[499].is_finished());
    for write in writes {
        write.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_new_and_keeps_the_old() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    jobs.enqueue_one(spec("kept")).await.unwrap();
    // As long as this page limit holds, the file cannot grow.
    let big = format!("\"{}\"", "x".repeat(10_000_000));
    jobs.write(|session| session.db.execute_batch("PRAGMA max_page_count = 500"))
        .await
        .unwrap();
    let over = spec("over").with(|spec| spec.payload = Payload::from_json(big.clone()).unwrap());
    let error = jobs.enqueue_one(over).await.unwrap_err();
    assert!(matches!(error, JobError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(claimed_ids(&jobs, 9).await, ["kept"]);
    assert_eq!(jobs.counts().await.unwrap()[0].bytes, 42);
}

#[tokio::test]
async fn a_file_that_another_keeps_locked_is_unavailable_after_a_while() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = jobs.enqueue_one(spec("a")).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
}

// Run by others, as a process of its own.
#[tokio::test]
#[ignore = "the other process of the tests below"]
async fn claims_settles_and_enqueues_until_it_is_killed() {
    let jobs = SqliteJobs::open(std::env::var("JOBS_TEST_FILE").unwrap()).unwrap();
    let once = std::env::var("JOBS_TEST_ONCE").is_ok();
    let mut settle = Vec::new();
    for n in 0.. {
        let exchange = Exchange {
            queue: "q".into(),
            settle: std::mem::take(&mut settle),
            claim: ask(3),
        };
        let exchanged = jobs.exchange(exchange).await.unwrap();
        settle.extend(exchanged.claimed.iter().map(done));
        if once && exchanged.claimed.is_empty() {
            return;
        }
        let batch = vec![spec(&format!("n{n}")), spec(&format!("m{n}"))];
        if !once && jobs.enqueue(batch).await.is_ok() {
            // What is printed was taken in.
            println!("taken n{n} m{n}");
        }
    }
}

fn other_process(path: &PathBuf) -> tokio::process::Command {
    let name = "job::sqlite::tests::claims_settles_and_enqueues_until_it_is_killed";
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", name])
        .env("JOBS_TEST_FILE", path)
        .kill_on_drop(true)
        .stdout(Stdio::piped());
    command
}

#[tokio::test]
async fn another_process_runs_what_this_one_enqueued() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let batch = (0..20).map(|n| spec(&format!("j{n}"))).collect();
    jobs.enqueue(batch).await.unwrap();
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            let mut command = other_process(&path);
            command.env("JOBS_TEST_ONCE", "1").spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().await.unwrap().success());
    }
    let counts = jobs.counts().await.unwrap().remove(0);
    assert_eq!((counts.completed, counts.waiting), (20, 0));
}

#[tokio::test]
async fn a_process_that_is_killed_in_the_middle_loses_nothing_it_was_told_of() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    for round in 0..3 {
        let mut child = other_process(&path).spawn().unwrap();
        let mut told = child.stdout.take().unwrap();
        tokio::time::sleep(Duration::from_millis(400 + 77 * round)).await;
        child.start_kill().unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut told, &mut text)
            .await
            .unwrap();
        child.wait().await.unwrap();
        let taken: Vec<JobId> = text
            .lines()
            .filter_map(|line| line.split_once("taken ")?.1.split_once(' '))
            .flat_map(|(one, other)| [id(one), id(other)])
            .collect();
        assert!(!taken.is_empty(), "it was killed before it began");
        let found = jobs.get(&taken).await.unwrap();
        assert!(found.iter().all(Option::is_some));
    }
    // The counts are those of the rows.
    let counts = jobs.counts().await.unwrap().remove(0);
    let rows: Vec<(u8, u64)> = jobs
        .read(|db| {
            let mut query = db.prepare("SELECT state, count(*) FROM job GROUP BY state")?;
            query
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
                .collect()
        })
        .await
        .unwrap();
    let counted = [
        counts.waiting,
        counts.delayed,
        counts.running,
        counts.completed,
    ];
    for (state, rows) in rows {
        assert_eq!(counted[usize::from(state)], rows, "state {state}");
    }
    let claimed = jobs.claim("q", ask(1)).await.unwrap();
    let waiting = counts.waiting > 0;
    assert_eq!(claimed.len(), usize::from(waiting));
}
