//! Other processes over the same file, and what is left when one is killed.

use std::path::Path;
use std::process::Stdio;

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
