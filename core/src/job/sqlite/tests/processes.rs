//! Other processes over the same file, and what is left when one is killed.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::*;

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

fn other_process(path: &Path) -> tokio::process::Command {
    let name = "job::sqlite::tests::processes::claims_settles_and_enqueues_until_it_is_killed";
    other_process_of(name, path)
}

fn other_process_of(name: &str, path: &Path) -> tokio::process::Command {
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

// Run by others, as a process of its own.
#[tokio::test]
#[ignore = "the other process of the test below"]
async fn races_for_keys_and_ids() {
    let jobs = SqliteJobs::open(std::env::var("JOBS_TEST_FILE").unwrap()).unwrap();
    println!("ready");
    // All begin at once, when the one who started them says so.
    let begin = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    begin.await.unwrap().unwrap();
    for n in 0..RACES {
        let named = spec(&format!("named{n}"));
        let keyed = JobSpec::new("q", Payload::NULL).with(|spec| {
            spec.unique_key = Some(format!("key{n}").into());
        });
        for answer in jobs.enqueue(vec![named, keyed]).await.unwrap() {
            if matches!(answer, Enqueued::Added(_)) {
                println!("won");
            }
        }
        jobs.sweep().await.unwrap();
    }
}

const RACES: usize = 50;

#[tokio::test]
async fn of_processes_that_race_for_an_id_a_key_and_a_lapsed_lease_one_wins() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let lapsed: Vec<_> = (0..200).map(|n| spec(&format!("lapsed{n}"))).collect();
    jobs.enqueue(lapsed).await.unwrap();
    let short = Claim {
        lease: Duration::ZERO,
        ..ask(200)
    };
    assert_eq!(jobs.claim("q", short).await.unwrap().len(), 200);
    let mut events = jobs.events().await.unwrap();
    let name = "job::sqlite::tests::processes::races_for_keys_and_ids";
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            other_process_of(name, &path)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut told = Vec::new();
    for child in &mut children {
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("ready") {
            assert!(lines.read_line(&mut text).await.unwrap() > 0, "{text}");
        }
        told.push((lines, text));
    }
    for child in &mut children {
        drop(child.stdin.take());
    }
    let mut won = 0;
    for (mut lines, mut text) in told {
        lines.read_to_string(&mut text).await.unwrap();
        won += text.matches("won").count();
    }
    for child in &mut children {
        assert!(child.wait().await.unwrap().success());
    }
    assert_eq!(won, 2 * RACES);
    // Each lease was taken back once, and this process heard of all that the others did.
    let claimed = jobs.claim("q", ask(1_000)).await.unwrap();
    assert_eq!(claimed.len(), 200 + 2 * RACES);
    let stalls: u32 = claimed.iter().map(|one| one.stalls).sum();
    assert_eq!(stalls, 200);
    let (mut stalled, mut waiting) = (0, 0);
    while (stalled, waiting) != (200, 200 + 2 * RACES) {
        let event = tokio::time::timeout(LONG, events.next()).await.unwrap();
        match event.unwrap().what {
            What::Stalled => stalled += 1,
            What::Waiting => waiting += 1,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_wait_ends_when_another_process_has_done_the_job() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let waiting = {
        let jobs = jobs.clone();
        jobs.enqueue_one(spec("a")).await.unwrap();
        tokio::spawn(async move { jobs.wait(&id("a"), LONG).await })
    };
    let mut child = other_process(&path);
    let mut child = child.env("JOBS_TEST_ONCE", "1").spawn().unwrap();
    let job = waiting.await.unwrap().unwrap();
    assert_eq!(job.status.state, JobState::Completed);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_process_that_is_killed_in_the_middle_loses_nothing_it_was_told_of() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    for round in 0..3 {
        let mut child = other_process(&path).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // Killed in the middle of its work, each time after some more of it.
        while text.matches("taken ").count() < 5 + 7 * round {
            assert!(told.read_line(&mut text).await.unwrap() > 0, "{text}");
        }
        child.start_kill().unwrap();
        told.read_to_string(&mut text).await.unwrap();
        child.wait().await.unwrap();
        let taken: Vec<JobId> = text
            .lines()
            .filter_map(|line| line.split_once("taken ")?.1.split_once(' '))
            .flat_map(|(one, other)| [id(one), id(other)])
            .collect();
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
