//! What two processes of one host share through a store, with real processes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use credential_rotation::credential::pool::{Settlement, StoreChoice, Want};
use credential_rotation::credential::{Credential, CredentialPool, Limits, PoolOptions};

const STORE: &str = "TWO_PROCESSES_STORE";
const PATIENCE: Duration = Duration::from_secs(20);

fn pool(store: &Path) -> CredentialPool {
    let limits = Limits {
        rpm: Some(40),
        ..Limits::default()
    };
    let credentials = vec![
        Credential::new("a", "sk-secret-a"),
        Credential::new("limited", "sk-secret-l").with_limits(limits),
    ];
    let options = PoolOptions {
        store: StoreChoice::File(store.to_owned()),
        ..PoolOptions::default()
    };
    CredentialPool::with_options(credentials, options).unwrap()
}

/// The other process: does what each line on its input says.
#[tokio::test]
#[ignore = "the other process of the tests below"]
async fn other_process() {
    let pool = pool(Path::new(&std::env::var(STORE).unwrap()));
    println!("\nready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        match line.as_str() {
            "cool a" => pool
                .cool("a", Duration::from_secs(60), "rate_limited")
                .await
                .unwrap(),
            "take all" => println!("taken {}", take_all(&pool).await),
            other => panic!("{other}"),
        }
        println!("done {line}");
    }
}

async fn take_all(pool: &CredentialPool) -> usize {
    let mut taken = 0;
    while let Ok(lease) = pool.acquire(&Want::default(), PATIENCE).await {
        lease.settle(Settlement::default()).await;
        taken += 1;
    }
    taken
}

struct Other {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Other {
    fn start(store: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact", "other_process"])
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut other = Self { child, lines };
        other.wait_for("ready");
        other
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn wait_for(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "the other process ended"
            );
            if line.starts_with(start) {
                return line.trim().to_owned();
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_cooldown_of_one_process_is_seen_by_the_other_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("pool.db");
    let here = pool(&store);
    let mut other = Other::start(&store);
    here.acquire(&Want::default(), PATIENCE)
        .await
        .unwrap()
        .settle(Settlement::default())
        .await;
    other.say("cool a");
    other.wait_for("done cool a");
    let told = Instant::now();
    loop {
        // Nobody asks for a look at the store: calls find out by themselves.
        if let Ok(lease) = here.acquire(&Want::default(), PATIENCE).await {
            lease.settle(Settlement::default()).await;
        }
        let cooled = here.list()[0].reason.is_some();
        if cooled {
            break;
        }
        assert!(
            told.elapsed() < Duration::from_secs(1),
            "not seen within a second"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_minute_is_one_for_both_processes() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("pool.db");
    let here = pool(&store);
    here.disable("a", "not in this test").await.unwrap();
    let mut other = Other::start(&store);
    other.say("take all");
    let ours = take_all(&here).await;
    let theirs: usize = other
        .wait_for("taken")
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(ours + theirs, 40, "{ours} here, {theirs} there");
}

#[tokio::test]
async fn a_process_killed_in_the_middle_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("pool.db");
    let here = pool(&store);
    for _ in 0..3 {
        let mut other = Other::start(&store);
        other.say("take all");
        other.child.kill().unwrap();
        other.child.wait().unwrap();
        let started = Instant::now();
        here.cool("a", Duration::from_millis(1), "rate_limited")
            .await
            .unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "blocked for {:?}",
            started.elapsed()
        );
    }
}
